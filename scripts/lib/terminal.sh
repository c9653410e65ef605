# shellcheck shell=bash disable=SC2034
# What the scripts say and how: headings, notes, failures, a line that shows that something goes on. Colours on a terminal only.
# Source it; it sets nothing but functions and the colours.

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else
  bold='' dim='' red='' green='' yellow='' plain=''
fi
readonly bold dim red green yellow plain

heading() { printf '\n%s==> %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '    %s\n' "$*"; }
warn() { printf '%swarning:%s %s\n' "$yellow" "$plain" "$*" >&2; }
fail() {
  printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
  exit 1
}

# Seconds as 7s, 3m07s.
duration() {
  if (( $1 < 60 )); then printf '%ds' "$1"; else printf '%dm%02ds' $(( $1 / 60 )) $(( $1 % 60 )); fi
}
