"""Change values of one entry in a YAML data sheet and leave everything else, comments included, as it is."""

import yaml

from kbit.spec.errors import UserError

Entry = yaml.MappingNode


def find_entries(text: str, section: str, where: str) -> dict[str, Entry]:
    """Name -> node of the entries listed under the top-level key `section`. UserError if there is no such list."""
    listed = read_sections(text, where).get(section)
    if not isinstance(listed, yaml.SequenceNode):
        raise UserError(f"{where} holds no list of {section}")
    entries = {}
    for node in listed.value:
        name = value_nodes(node).get("name") if isinstance(node, yaml.MappingNode) else None
        if name is None:
            raise UserError(f"{where}, line {node.start_mark.line + 1}: an entry of {section} has no name")
        entries[name.value] = node
    return entries


def read_sections(text: str, where: str) -> dict[str, yaml.Node]:
    """Top-level key -> node of its value."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{where} is not YAML: {' '.join(str(error).split())}") from None
    return value_nodes(root) if isinstance(root, yaml.MappingNode) else {}


def value_nodes(mapping: Entry) -> dict[str, yaml.Node]:
    """Key -> node of its value."""
    return {key.value: value for key, value in mapping.value}


def read_values(entry: Entry) -> dict[str, object]:
    """The entry as plain values."""
    return yaml.SafeLoader("").construct_document(entry)


def set_values(text: str, entry: Entry, values: dict[str, object], after: str) -> str:
    """The text with `values` written into the entry: replaced where the key stands, else added behind the key `after`.

    The entry's node must come from this very text.
    """
    nodes = value_nodes(entry)
    present = {key: value for key, value in values.items() if key in nodes}
    absent = {key: value for key, value in values.items() if key not in nodes}
    edits = [(nodes[key].start_mark.index, nodes[key].end_mark.index, format_value(present[key])) for key in present]
    if absent:
        edits.append(added_keys(text, entry, absent, after))
    # From the end of the text backwards, so that earlier positions stay valid.
    for start, end, written in sorted(edits, reverse=True):
        text = text[:start] + written + text[end:]
    return text


def added_keys(text: str, entry: Entry, values: dict[str, object], after: str) -> tuple[int, int, str]:
    """Where and how new keys are written: in the braces of a flow entry, on lines of their own in a block entry."""
    pairs = [f"{key}: {format_value(value)}" for key, value in values.items()]
    end = value_nodes(entry)[after].end_mark.index
    if entry.flow_style:
        return end, end, "".join(f", {pair}" for pair in pairs)
    indent = " " * entry.value[0][0].start_mark.column
    line_end = text.find("\n", end)
    position = len(text) if line_end < 0 else line_end
    return position, position, "".join(f"\n{indent}{pair}" for pair in pairs)


def format_value(value: object) -> str:
    """A value as it stands in YAML. Digits that are meant as text, such as some commits, are quoted."""
    return yaml.safe_dump(value, default_flow_style=True, width=1 << 20).removesuffix("...\n").strip()
