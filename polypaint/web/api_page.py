"""The API's document as a page to read: plain HTML, without a script.

Counterpart: `openapi.py` hands the document over; `static/docs/api.css` is how it looks.
"""

from collections.abc import Iterator
from html import escape
from typing import Any, Final

from polypaint.web.problems import MEDIA_TYPE

METHODS: Final = ("get", "post", "put", "patch", "delete")


def api_page(document: dict[str, Any], stylesheet: str) -> str:
    """An OpenAPI document as HTML."""
    info, schemas = document["info"], document["components"]["schemas"]
    title = f"{info['title']} {info['version']}: HTTP API"
    operations = [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]
    index = "".join(
        f'<li><a href="#{_id(path, method)}"><b>{method.upper()}</b> {escape(path)}</a></li>'
        for path, method, _ in operations
    )
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{escape(title)}</title><link rel="stylesheet" href="{stylesheet}"></head>',
            f"<body><main><h1>{escape(title)}</h1><p>{_text(info['description'])}</p>",
            '<p><a href="/api/openapi.json">OpenAPI 3.1</a> · <a href="/">The page</a></p>',
            f"<nav><ul>{index}</ul></nav>",
            *(_operation(*each) for each in operations),
            "<h2>Objects</h2>",
            *(_schema(name, schema) for name, schema in sorted(schemas.items())),
            "</main></body></html>",
        )
    )


def _id(path: str, method: str) -> str:
    return escape(f"{method}{path}".replace("{", "").replace("}", "").replace("/", "-"))


def _text(text: str) -> str:
    """Escaped; what stands between backticks is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{x}</code>" if n % 2 else x for n, x in enumerate(parts))


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(_inputs(operation))
    answers = "".join(_answers(operation))
    inputs = f"<table><caption>Takes</caption>{rows}</table>" if rows else ""
    return (
        f'<section id="{_id(path, method)}">'
        f"<h2><b>{method.upper()}</b> {escape(path)}</h2>"
        f"<p>{_text(operation.get('description', ''))}</p>{inputs}"
        f"<table><caption>Answers</caption>{answers}</table></section>"
    )


def _inputs(operation: dict[str, Any]) -> Iterator[str]:
    for each in operation.get("parameters", ()):
        where, kind = each["in"], _kind(each.get("schema", {}))
        yield _row(each["name"], f"{where}: {kind}", each.get("description", ""))
    body = operation.get("requestBody")
    if body:
        for media_type, content in body["content"].items():
            yield _row("body", f"{escape(media_type)}: {_kind(content.get('schema', {}))}", "")


def _answers(operation: dict[str, Any]) -> Iterator[str]:
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        kinds = [
            f"{escape(media_type)}: {_kind(each.get('schema', {}))}"
            for media_type, each in content.items()
            if media_type != MEDIA_TYPE
        ]
        yield _row(status, ", ".join(kinds), answer.get("description", ""))


def _row(name: str, kind: str, description: str) -> str:
    cells = f"<th>{escape(name)}</th><td>{kind}</td><td>{_text(description)}</td>"
    return f"<tr>{cells}</tr>"


def _kind(schema: dict[str, Any]) -> str:
    """A type in a few words, with links to objects."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(escape(repr(each)) for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(str(schema.get("format") or schema.get("type") or "anything"))


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = "".join(
        _row(key, _kind(value), value.get("description", ""))
        for key, value in schema.get("properties", {}).items()
    )
    head = f"<h3>{escape(name)}</h3><p>{_text(schema.get('description', ''))}</p>"
    return f'<section id="{escape(name)}">{head}<table>{rows}</table></section>'
