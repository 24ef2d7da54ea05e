"""`/api/chat` and `/api/generate`: from a body to chunks."""

import random
import time
from collections.abc import Generator, Iterator
from typing import Any

from tests.protocol.backends import Done, Job, Piece
from tests.protocol.calls import Call
from tests.protocol.gojson import now
from tests.protocol.models import FakeModel
from tests.protocol.options import resolve
from tests.protocol.outcomes import Crash, Json, Refusal, Stream
from tests.protocol.prompts import cut, fitting, render
from tests.protocol.runners import Runner
from tests.protocol.schema import check_format
from tests.protocol.thoughts import ThinkParser

_REPEATS = 30
_METRICS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)
_SIGN_IN = "https://ollama.com/connect?name=protocol&key=none"


def chat(call: Call, body: dict[str, Any]) -> Json | Stream:
    """Answer `/api/chat`."""
    body["messages"] = [{**m, "role": str(m.get("role", "")).lower()} for m in body.get("messages", [])]
    return Generation(call, body, is_chat=True).answer()


def generate(call: Call, body: dict[str, Any]) -> Json | Stream:
    """Answer `/api/generate`."""
    return Generation(call, body, is_chat=False).answer()


class Generation:
    """One request, in the order in which the server looks at it."""

    def __init__(self, call: Call, body: dict[str, Any], *, is_chat: bool) -> None:
        self.call, self.body, self.is_chat = call, body, is_chat
        self.started = time.monotonic_ns()
        self.name = body.get("model", "")
        self.new = call.world.version >= (0, 30)

    def answer(self) -> Json | Stream:
        model = self._model()
        if self._is_empty() and self.body.get("keep_alive") == 0:
            self.call.world.scheduler.unload(model.name)
            return Json(self._bare("unload"))
        if model.remote:
            raise Refusal(401, "unauthorized", signin_url=_SIGN_IN)
        if (
            not self.is_chat
            and self.body.get("raw")
            and any(self.body.get(n) for n in ("template", "system", "context"))
        ):
            raise Refusal(400, "raw mode does not support template, system, or context")
        self._capabilities(model)
        options = resolve(self.call.world.version, model.parameters, self.body.get("options"))
        options["num_ctx"] = min(max(options["num_ctx"] or self.call.world.num_ctx, 4), model.context_length)
        events = self._events(model, options)
        if self._is_empty():
            return Json(next(events))
        if self.body.get("_debug_render_only"):
            return Json(next(events))
        return Stream(events) if self.body.get("stream", True) else Json(self._joined(events))

    def _model(self) -> FakeModel:
        top = self.body.get("top_logprobs", 0)
        if not 0 <= top <= 20:
            raise Refusal(400, "top_logprobs must be between 0 and 20")
        if self.is_chat and not self.name:
            raise Refusal(400, "model is required")
        return self.call.world.library.wanted(self.name, lambda name: Refusal(404, f"model '{name}' not found"))

    def _is_empty(self) -> bool:
        return not self.body["messages"] if self.is_chat else not self.body.get("prompt")

    def _capabilities(self, model: FakeModel) -> None:
        if self.body.get("think") and not model.thinking:
            raise Refusal(400, f'"{self.name}" does not support thinking')
        if model.embeddings:
            raise Refusal(400, f'"{self.name}" does not support {"chat" if self.is_chat else "generate"}')
        if self.body.get("tools") and self.is_chat and not model.tools:
            raise Refusal(400, f"registry.ollama.ai/library/{model.name} does not support tools")
        if self.body.get("suffix") and not self.is_chat:
            raise Refusal(400, f"registry.ollama.ai/library/{model.name} does not support insert")

    def _bare(self, reason: str | None = None, **more: Any) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.name, "created_at": now()}
        body |= {"message": {"role": "assistant", "content": ""}} if self.is_chat else {"response": ""}
        body["done"] = reason is not None
        if reason:
            body["done_reason"] = reason
        return body | more

    def _events(self, model: FakeModel, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
        scheduler = self.call.world.scheduler
        keep_alive, shift = self.body.get("keep_alive"), self.body.get("shift")
        load_shift = shift if self.new else None
        with scheduler.runner(model, options, shift=load_shift, keep_alive=keep_alive, gone=self.call.check) as runner:
            self.loaded = time.monotonic_ns()
            if self._is_empty():
                yield self._bare("load")
                return
            try:
                yield from self._passes(runner, options)
            except Crash:
                scheduler.unload(model.name)
                raise

    def _passes(self, runner: Runner, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield chunks; thinking with a format in chat takes two passes, the second one constrained."""
        model, wanted = runner.model, self._format(runner.model)
        self.native = model.native and self.new and self.is_chat
        messages = self._messages(model)
        think = model.thinking and bool(self.body.get("think", True)) and not self.body.get("raw")
        parser = ThinkParser() if think else None
        first_free = parser is not None and self.is_chat and wanted not in (None, "")
        prompt, messages = self._prompt(model, messages, options, think)
        if self.body.get("_debug_render_only"):
            yield self._bare(None, _debug_info={"rendered_template": prompt})
            return
        form = None if first_free else check_format(self.call.world.version, wanted)
        with runner.slots.one(self.call.check):
            job = self._job(runner, messages, prompt, options, form, think)
            ended = yield from self._pieces(runner, job, parser, stops_at_answer=first_free)
        if not ended:
            form = check_format(self.call.world.version, wanted)
            messages = [*messages, {"role": "assistant", "content": "", "thinking": self.thought}]
            with runner.slots.one(self.call.check):
                prompt = render(messages, style=self._style(model), thinking=True, think=True)
                yield from self._pieces(runner, self._job(runner, messages, prompt, options, form, False), parser)

    def _format(self, model: FakeModel) -> Any:
        """Return the format that is kept: some models and some servers drop it in silence."""
        wanted = self.body.get("format")
        if not self.call.world.constraints:
            return None
        if not model.obeys_format:
            check_format(self.call.world.version, wanted)
            return None
        return wanted

    def _style(self, model: FakeModel) -> str:
        return "native" if self.native else "legacy" if model.legacy else "go"

    def _messages(self, model: FakeModel) -> list[dict[str, Any]]:
        if self.is_chat:
            given = [*model.messages, *self.body["messages"]]
            has_system = self.body["messages"][0]["role"] == "system"
            system = "" if has_system else model.system
        else:
            system = self.body.get("system") or model.system
            given = [] if self.body.get("context") else list(model.messages)
            given.append({"role": "user", "content": self.body["prompt"], "images": self.body.get("images")})
        return ([{"role": "system", "content": system}] if system else []) + given

    def _prompt(
        self, model: FakeModel, messages: list[dict[str, Any]], options: dict[str, Any], think: bool
    ) -> tuple[str, list[dict[str, Any]]]:
        if self.body.get("raw"):
            return self.body["prompt"], messages

        def rendered(found: list[dict[str, Any]]) -> str:
            return render(found, style=self._style(model), thinking=model.thinking, think=think)

        tokenizer = model.backend.tokenizer
        if self.body.get("truncate", True):
            messages = fitting(messages, options["num_ctx"], lambda found: len(tokenizer.ids(rendered(found))))
        before = tokenizer.text(self.body["context"]) if self.body.get("context") else ""
        return before + rendered(messages), messages

    def _job(
        self,
        runner: Runner,
        messages: list[dict[str, Any]],
        prompt: str,
        options: dict[str, Any],
        form: Any,
        think: bool,
    ) -> Job:
        shift = self.body.get("shift", True)
        truncate = self.body.get("truncate", True)
        ids = runner.model.backend.tokenizer.ids(prompt)
        ids = cut(ids, options, model=runner.model, new=self.new, chat=self.is_chat, truncate=truncate, shift=shift)
        limit, most = options["num_predict"], 10 * runner.num_ctx
        if limit <= 0 or limit > most:
            limit = most if limit else None
        if not shift:
            room = max(1, runner.num_ctx - len(ids))
            limit = room if limit is None else min(limit, room)
        top = self.body.get("top_logprobs", 0) if self.body.get("logprobs") else None
        self.prompt, self.ids = prompt, ids
        options = {**options, "num_predict": limit}
        leading = self.native if runner.model.leading is None else runner.model.leading
        return Job(messages, ids, options, form, think, self.body, top, self.call.check, leading)

    def _pieces(
        self, runner: Runner, job: Job, parser: ThinkParser | None, *, stops_at_answer: bool = False
    ) -> Generator[dict[str, Any], None, bool]:
        """Yield one chunk per piece and the last one; return false where the second pass has to take over."""
        self.text, last, same = "", None, 0
        for piece in runner.model.backend.run(job):
            self.call.check()
            if isinstance(piece, Done):
                yield self._last(job, piece, parser)
                return True
            self.text += piece.text
            same = same + 1 if piece.text.strip() == last else 0
            last = piece.text.strip()
            if same > _REPEATS:
                return True  # the server gives up, without a last chunk and without an error
            thought, text = parser.take(piece.text) if parser else ("", piece.text)
            self.thought = getattr(self, "thought", "") + thought
            if stops_at_answer and text:
                if thought:
                    yield self._chunk("", thought, piece)
                return False
            if thought or text or piece.tool_calls:
                yield self._chunk(text, thought, piece)
        return True

    def _chunk(self, text: str, thought: str, piece: Piece) -> dict[str, Any]:
        chunk = self._bare()
        where = chunk["message"] if self.is_chat else chunk
        where["content" if self.is_chat else "response"] = text
        if thought:
            where["thinking"] = thought
        if piece.tool_calls:
            where["tool_calls"] = [_tool_call(number, one) for number, one in enumerate(piece.tool_calls)]
        done = chunk.pop("done")
        chunk["done"] = done  # Go writes it after `thinking`
        if piece.logprobs:
            chunk["logprobs"] = piece.logprobs
        return chunk

    def _last(self, job: Job, done: Done, parser: ThinkParser | None) -> dict[str, Any]:
        self.call.entry.prompt_tokens = len(job.prompt)
        self.call.entry.processed_tokens += done.processed
        self.call.entry.tokens += done.tokens
        rest = parser.rest() if parser else ""
        chunk = self._chunk("", rest, Piece(""))
        chunk |= {"done": True, "done_reason": done.reason}
        if not self.is_chat and not self.body.get("raw"):
            chunk["context"] = self.call.world.tokenizer_ids(self.name, self.prompt + self.text)
        load = max(1, self.loaded - self.started)
        total = max(time.monotonic_ns() - self.started, load + done.prompt_ns + done.eval_ns)
        numbers = (total, load, len(job.prompt), done.prompt_ns, done.tokens, done.eval_ns)
        return chunk | {name: value for name, value in zip(_METRICS, numbers, strict=True) if value}

    def _joined(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        """Return the last chunk with everything that came before in it."""
        last: dict[str, Any] = self._zero()
        texts, thoughts, logprobs, calls = [], [], [], []
        for last in events:
            where = last["message"] if self.is_chat else last
            texts.append(where["content" if self.is_chat else "response"])
            thoughts.append(where.get("thinking", ""))
            logprobs += last.get("logprobs", [])
            calls += where.get("tool_calls", [])
        where = last["message"] if self.is_chat else last
        where["content" if self.is_chat else "response"] = "".join(texts)
        if "".join(thoughts):
            where["thinking"] = "".join(thoughts)
        if calls:
            where["tool_calls"] = calls
        return self._ordered(last | ({"logprobs": logprobs} if logprobs else {}))

    def _zero(self) -> dict[str, Any]:
        """Return what Go writes when not a single chunk came."""
        zero = self._bare() | {"model": "", "created_at": "0001-01-01T00:00:00Z"}
        if self.is_chat:
            zero["message"]["role"] = ""
        return zero

    def _ordered(self, body: dict[str, Any]) -> dict[str, Any]:
        before = ("model", "created_at", "message", "response", "thinking", "done", "done_reason")
        after = ("logprobs", "context", *_METRICS) if self.is_chat else ("context", *_METRICS, "tool_calls", "logprobs")
        return {name: body[name] for name in (*before, *after) if name in body}


def _tool_call(number: int, call: dict[str, Any]) -> dict[str, Any]:
    name = random.Random(f"{number} {call}").choices("abcdefghijklmnopqrstuvwxyz0123456789", k=8)
    function = {"index": number, "name": call["name"], "arguments": call.get("arguments", {})}
    return {"id": "call_" + "".join(name), "function": function}
