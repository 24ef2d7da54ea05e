"""The door to FastAPI."""

from fastapi import Body, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.requests import Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

__all__ = ["Body", "CORSMiddleware", "FastAPI", "HTTPException", "JSONResponse", "Request", "Response"]
