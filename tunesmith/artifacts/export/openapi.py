"""`openapi`: the typed request and answer of a program, as `tunesmith serve` has them."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import TypeAdapter

from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Export, Exported, register_export
from tunesmith.modules import Contract
from tunesmith.options import option

__all__ = ["OpenApi"]

_REFS = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "description": "The body of every answer that is not a success.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("type", "message", "request_id", "field")},
            "required": ["type", "message"],
        }
    },
    "required": ["error"],
}


@register_export
@dataclass(frozen=True)
class OpenApi(Export):
    """The OpenAPI document of the program's request and answer, as `tunesmith serve` takes and gives them."""

    name: ClassVar[str] = "openapi"
    server: str = option("http://127.0.0.1:8000", "Address of the service.")
    token: bool = option(default=False, help="Whether requests carry a token.")
    max_text: int = option(100_000, "Most characters of a text, as in `tunesmith serve --max-text`.", low=1)

    def files(self, source: Source) -> Exported:
        """Return `openapi.json`."""
        contract = Contract.of(source.program, "", longest=self.max_text)
        kinds: Any = [("in", "validation", contract.inputs), ("out", "serialization", contract.outputs)]
        adapters = [(key, mode, TypeAdapter(kind)) for key, mode, kind in kinds]
        schemas, shared = TypeAdapter.json_schemas(adapters, ref_template=_REFS)
        document: dict[str, Any] = {
            "openapi": "3.1.0",
            "info": {"title": source.title, "version": _version(source)},
            "servers": [{"url": self.server}],
            "paths": {"/predict": {"post": _predict(schemas["in", "validation"], schemas["out", "serialization"])}},
            "components": {"schemas": {**shared.get("$defs", {}), "Problem": _PROBLEM}},
        }
        if self.token:
            document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"token": []}]
        notes = ("A service also has /predict/stream, /batch, /healthz and more: see its own /openapi.json.",)
        return Exported({"openapi.json": json.dumps(document, indent=2, ensure_ascii=False) + "\n"}, notes)


def _predict(inputs: Any, outputs: Any) -> dict[str, Any]:
    problem = {"content": {"application/json": {"schema": {"$ref": _REFS.format(model="Problem")}}}}
    return {
        "summary": "Run the program on one input.",
        "operationId": "predict",
        "requestBody": {"required": True, "content": {"application/json": {"schema": inputs}}},
        "responses": {
            "200": {"description": "Done.", "content": {"application/json": {"schema": outputs}}},
            "default": {"description": "It was refused, or failed.", **problem},
        },
    }


def _version(source: Source) -> str:
    return source.artifact.sha256[:12] if source.artifact is not None else "0"
