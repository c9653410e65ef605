// How the page of a report looks, on light and dark ground and on paper, and its few lines of script.
//
// May use: Markup, Report/Charts.

enum PageStyle {
  private static let light: Markup = """
    \(ChartStyle.light)--panel:#f6f8fa;--edge:#d5dae0;--ahead:#0b5fc0;--behind:#b53f06;--warn:#7a4b00;--warnpanel:#fff6e0;
    """
  private static let dark: Markup = """
    \(ChartStyle.dark)--panel:#171c23;--edge:#313942;--ahead:#63abff;--behind:#ff9259;--warn:#f2c76b;--warnpanel:#2b2412;
    """

  /// Colours are variables, which the charts use as well.
  static let css: Markup = """
    :root{color-scheme:light dark;\(light)}
    \(SeriesStyle.css(isDark: false))
    @media (prefers-color-scheme:dark){:root{\(dark)}\(SeriesStyle.css(isDark: true))}
    *{box-sizing:border-box}
    body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
    main{max-width:1200px;margin:0 auto;padding:28px 24px 64px}
    h1{font-size:27px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
    h2{font-size:20px;margin:44px 0 4px;padding-top:18px;border-top:1px solid var(--edge)}
    h3{font-size:15px;margin:0 0 6px}
    p{margin:6px 0;max-width:82ch}
    .lead{font-size:17px;color:var(--faint);margin:0 0 14px}
    .facts{display:flex;flex-wrap:wrap;gap:6px 28px;margin:0;font-size:14px}
    .facts div{display:flex;gap:8px}
    .facts dt{color:var(--faint)}
    .facts dd{margin:0}
    .how{color:var(--faint);font-size:14px}
    .banner{background:var(--warnpanel);color:var(--warn);border-left:4px solid currentColor;padding:10px 14px;margin:18px 0;border-radius:4px}
    .cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:16px;margin:16px 0}
    .card{background:var(--panel);border:1px solid var(--edge);border-radius:8px;padding:14px 18px}
    .card ul{list-style:none;margin:0;padding:0}
    .card li{display:grid;grid-template-columns:88px 1fr;gap:2px 12px;padding:8px 0;border-top:1px solid var(--edge)}
    .card li:first-child{border-top:0}
    .card .at{color:var(--faint);font-size:13px;padding-top:6px}
    .card .ratio{font-size:23px;font-weight:650;font-variant-numeric:tabular-nums;line-height:1.25}
    .card .sides{grid-column:2;font-size:13px;line-height:1.4}
    .ahead{color:var(--ahead)}
    .behind{color:var(--behind)}
    .charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,460px),1fr));gap:22px 32px;margin:14px 0 8px;align-items:start}
    figure{margin:0;max-width:720px}
    figcaption{font-weight:600;font-size:15px;margin-bottom:6px}
    .chart{display:block;width:100%;height:auto}
    \(ChartStyle.css)
    .at{outline:none}
    details{margin:8px 0}
    summary{cursor:pointer;color:var(--faint);font-size:14px}
    .scroll{overflow-x:auto;margin:8px 0 16px}
    table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
    caption{text-align:left;font-weight:600;padding:6px 0;white-space:nowrap}
    th,td{padding:4px 12px 4px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--edge)}
    th{color:var(--faint);font-weight:500;white-space:nowrap}
    .n{text-align:right;white-space:nowrap}
    ul.plain{margin:6px 0;padding-left:20px;max-width:90ch}
    ul.plain li{margin:3px 0}
    nav ul{margin:8px 0 0;padding-left:20px}
    a{color:var(--ahead)}
    footer{margin-top:48px;color:var(--faint);font-size:13px}
    #tip{position:fixed;z-index:2;pointer-events:none;background:var(--ink);color:var(--ground);padding:6px 10px;border-radius:5px;font-size:12.5px;line-height:1.4;white-space:pre-line;max-width:340px}
    @media print{
    :root{color-scheme:light;\(light)}
    \(SeriesStyle.css(isDark: false))
    body{font-size:10.5pt;-webkit-print-color-adjust:exact;print-color-adjust:exact}
    main{max-width:none;padding:0}
    h2{break-after:avoid}
    figure,.card,tr{break-inside:avoid}
    .charts{grid-template-columns:1fr 1fr;gap:14px 20px}
    details::details-content{content-visibility:visible;display:block}
    summary,#tip{display:none}
    .scroll{overflow:visible}
    table{font-size:7.5pt}
    th,td{padding:2px 7px 2px 0}
    }
    """

  /// Nothing needs it: it shows at once what a browser shows of a point after a while, and opens the tables for paper where the style sheet
  /// alone does not.
  static let script: Markup = """
    (function(){var tip=document.createElement('div');tip.id='tip';tip.hidden=true;document.body.append(tip);
    document.querySelectorAll('.chart .at').forEach(function(mark){var title=mark.querySelector('title');if(!title)return;
    var words=title.textContent;
    mark.addEventListener('pointerenter',function(){title.textContent='';tip.textContent=words;tip.hidden=false});
    mark.addEventListener('pointermove',function(event){var box=tip.getBoundingClientRect();
    tip.style.left=Math.max(4,Math.min(event.clientX+14,innerWidth-box.width-4))+'px';
    tip.style.top=Math.max(4,event.clientY-box.height-12)+'px'});
    mark.addEventListener('pointerleave',function(){title.textContent=words;tip.hidden=true})});
    addEventListener('beforeprint',function(){document.querySelectorAll('details').forEach(function(part){part.open=true})})})();
    """
}
