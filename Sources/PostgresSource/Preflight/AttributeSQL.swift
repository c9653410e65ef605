// What COPY's SELECT says for an attribute: the column, or a place in a jsonb column, in a form that cannot fail on any row.
//
// May use: SourceAttribute, AttributeField, SQLText.

internal import VectorIndex

enum AttributeSQL {
  /// An expression over the source's columns. Names and keys are quoted here and nowhere else.
  static func expression(column: String, path: [SourceAttribute.Step], type: AttributeType) -> String {
    guard !path.isEmpty else { return SQLText.identifier(column) }
    let steps = path.map { step in
      switch step {
      case .key(let key): " -> \(SQLText.literal(key))::text"
      case .element(let number): " -> \(number)"
      }
    }
    let value = "(\(SQLText.identifier(column))\(steps.joined()))"
    guard type.isArray else { return scalar(value, type) }
    return "CASE WHEN jsonb_typeof(\(value)) = 'array' THEN ARRAY(SELECT \(scalar("(a.element)", type.element)) "
      + "FROM jsonb_array_elements(\(value)) WITH ORDINALITY AS a (element, place) ORDER BY a.place) END"
  }

  /// The type that COPY sends for it. What JSON writes as text is read by whoever gets it, for a cast would fail on the first row that has
  /// something else.
  static func field(name: String, type: AttributeType) -> AttributeField {
    let scalar: AttributeField.Scalar =
      switch type.element {
      case .bool: .bool
      case .int64: .bigint
      case .float64: .double
      case .timestamp: .timestampText
      case .uuid: .uuidText
      default: .text
      }
    return AttributeField(name: name, scalar: scalar, isArray: type.isArray)
  }

  /// The JSON value where it is of the type, else NULL.
  private static func scalar(_ value: String, _ type: AttributeType) -> String {
    switch type {
    case .bool: return "CASE WHEN jsonb_typeof(\(value)) = 'boolean' THEN \(value)::bool END"
    case .int64:
      let number = "\(value)::numeric"
      return "CASE WHEN jsonb_typeof(\(value)) = 'number' THEN CASE WHEN \(number) = trunc(\(number)) "
        + "AND \(number) BETWEEN -9223372036854775808 AND 9223372036854775807 THEN \(number)::int8 END END"
    case .float64:
      // Beyond the largest there is no number, below the smallest there is 0: the cast would fail on both.
      let number = "\(value)::numeric"
      return
        "CASE WHEN jsonb_typeof(\(value)) = 'number' THEN CASE WHEN abs(\(number)) > 1.7976931348623157e308 THEN NULL "
        + "WHEN abs(\(number)) < 5e-324 THEN 0 ELSE \(number)::float8 END END"
    default: return "CASE WHEN jsonb_typeof(\(value)) = 'string' THEN \(value) #>> '{}' END"
    }
  }
}
