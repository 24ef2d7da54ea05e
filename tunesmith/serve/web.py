"""The door to FastAPI."""

from fastapi import Body, FastAPI
from fastapi.requests import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

__all__ = ["Body", "FastAPI", "HTTPException", "JSONResponse", "Request", "Response", "StreamingResponse"]
