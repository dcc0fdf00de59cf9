"""The schema of client tables, and what people call its columns, out of `config.json`."""

from dataclasses import replace
from typing import Any

from pipeline.core.json_reader import (
    NAMES,
    TEXT,
    UNTELLABLE,
    Kind,
    ObjectReader,
    as_json,
    keys_of,
    member,
    number,
    one_of,
    optional,
    whole_number,
)
from pipeline.core.schema import (
    DEFAULT_LABELS,
    DEFAULT_SCHEMA,
    ClientNames,
    Format,
    Rule,
    Schema,
)

SCHEMA_KEYS = (
    *("schema", "client_names", "format", "outcomes", "horizon_days", "input", "absent"),
    *("labels", "reasons_from"),
)
UNNAMED_OUTCOME = "has_left"  # the column of the outcome where the config names none
# what no column may be called that travels to the ranking, the API and the page: they have it
RANKING_NAMES = (
    *("rank", "client", "risk", "band", "release", "contact", "reasons"),
    *("expected_loss", "loss_rank", "horizon_days", "contact_status", "contacted_on"),
    *("limit", "offset", "sort", "format", "q", "page"),
)
_COLUMNS = ("client", "outcome", "numeric", "categorical", "date", "left_on", "carry", "rules")
_OUTCOMES = Kind(
    lambda value: (
        isinstance(value, dict)
        and all(each is None or (type(each) is int and each in (0, 1)) for each in value.values())
    ),
    "an object of words, each with 1 (left), 0 (stayed) or null (not known)",
)
_WORDS = Kind(
    lambda value: (
        isinstance(value, list) and all(type(each) in (str, int, float) for each in value)
    ),
    "a list of values",
)
_LIMIT = optional(number(lambda value: value == value, "a number"))


def read_schema(reader: ObjectReader) -> Schema:
    """The schema of a config, without its keys the default one."""
    meaning = _meaning(reader)
    schema = replace(DEFAULT_SCHEMA, **meaning)
    if "schema" in reader.values:
        schema = _columns(reader, reader.part("schema", _COLUMNS), meaning)
    if schema.horizon_days and not (schema.date or schema.snapshots):
        what = 'needs the column of a date, "schema.date", or "input": "snapshots"'
        reader.problem("horizon_days", what)
    if schema.absent_left and not schema.snapshots:
        reader.problem("absent", 'is "left" only for full lists: set "input": "snapshots"')
    return schema


def _meaning(reader: ObjectReader) -> dict[str, Any]:
    """What the rows of a table mean, beside its columns."""
    part = reader.part("format", keys_of(Format))
    form: Format = part.fill(Format)
    if form.decimal and form.decimal == form.thousands:
        part.problem("thousands", f'is the same as "format.decimal": "{form.decimal}"')
    given = reader.get("outcomes", _OUTCOMES, {})
    words = {word.strip().lower(): value for word, value in given.items()}
    if len(words) < len(given):
        reader.problem("outcomes", "has a word twice, for its case does not matter")
    inputs = one_of("increments", "snapshots")
    absent = one_of("unknown", "left")
    return {
        "client_names": reader.get("client_names", member(ClientNames), ClientNames.EXACT),
        "format": form,
        "outcomes": tuple((w, "" if value is None else str(value)) for w, value in words.items()),
        "horizon_days": reader.get("horizon_days", whole_number(1, 3_660), 0),
        "snapshots": reader.get("input", inputs, "increments") == "snapshots",
        "absent_left": reader.get("absent", absent, "unknown") == "left",
    }


def _columns(reader: ObjectReader, part: ObjectReader, meaning: dict[str, Any]) -> Schema:
    """The schema that the config names column by column."""
    without = "left_on" in part.values or meaning["absent_left"]  # an outcome they do
    schema = Schema(
        client=part.get("client", TEXT),
        outcome=part.get("outcome", TEXT, *([UNNAMED_OUTCOME] if without else [])),
        has_outcome="outcome" in part.values,
        **{name: part.get(name, NAMES, ()) for name in ("numeric", "categorical", "carry")},
        **{name: part.get(name, TEXT, "") for name in ("date", "left_on")},
        **meaning,
    )
    schema = replace(schema, rules=_rules(part, schema))
    named = [column for column in schema.columns if column]  # a missing one is noted already
    for column in sorted({c for c in named if named.count(c) > 1}):
        reader.problem("schema", f'names the column "{column}" twice')
    for column in named:
        if UNTELLABLE.search(column):
            reader.problem("schema", f"names a column that cannot be shown: {as_json(column)}")
    for column in sorted({*schema.carry} & {*RANKING_NAMES}):
        reader.problem("schema.carry", f'names "{column}", which the ranking has itself')
    if not schema.features:
        reader.problem("schema", 'names no feature: give "numeric" or "categorical" columns')
    return schema


def _rules(part: ObjectReader, schema: Schema) -> tuple[Rule, ...]:
    """What values of columns may be."""
    rules, found = part.part("rules", schema.features), list[Rule]()
    words: tuple[str, ...] = ()
    for column in (name for name in schema.features if name in rules.values):
        rule = rules.part(column, ("min", "max", "one_of"))
        least, most = (rule.get(key, _LIMIT, None) for key in ("min", "max"))
        try:
            words = tuple(schema.canonical(column)(str(w)) for w in rule.get("one_of", _WORDS, []))
        except ValueError:
            rule.problem("one_of", "names what is no number, as the column is")
        if (least, most) != (None, None) and column not in schema.numeric:
            rules.problem(column, 'has "min" or "max" and is no number: give "one_of"')
        if least is not None and most is not None and least > most:
            rules.problem(column, f"has min ({least:g}) above max ({most:g})")
        found.append(Rule(column, least, most, words))
    return tuple(sorted(found, key=lambda rule: rule.column))


def read_labels(reader: ObjectReader, schema: Schema) -> tuple[dict[str, str], tuple[str, ...]]:
    """What people call each feature and carried column, and the features that may be reasons.

    A column without a label is called by its name, with spaces.
    """
    known = (*schema.features, *schema.carry)
    part = reader.part("labels", known)
    labels = {column: column.replace("_", " ") for column in known}
    labels |= DEFAULT_LABELS if schema.features == DEFAULT_SCHEMA.features else {}
    labels |= {column: part.get(column, TEXT) for column in part.values if column in known}
    reasons = reader.names("reasons_from", schema.features, schema.features)
    if not reasons and schema.features:  # a schema without features is noted already
        reader.problem("reasons_from", "names no feature: leave it out to give reasons from all")
    return labels, reasons
