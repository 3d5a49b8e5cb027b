"""A room for SQL that we did not write: one child process, with limits that the operating system keeps.

DuckDB's own lock is not enough: a single expression can take many times its memory limit, and its interrupt comes late.
So the work is done in a child that first prepares itself, then locks itself in for good, and only then meets what it
must not trust. It can take no more memory than it was given, it is killed when its time is over, it cannot write files,
and unless it was left to it open none, nor a connection. What it sends back is plain JSON: what the child says is not
trusted, what the parent says is.

    with Room(Sums) as room:                  # `Sums` is a Worker; the child imports its module by name
        room.prepare({"folder": "…"})         # Sums(setup), still free; then locked
        for answer in room.ask("1 + 1", what="the sum"):
            ...
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from auditor.errors import AuditorError, DocumentError, Fault, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType
    from typing import BinaryIO, Self

MB = 1 << 20
ROOM_TO_BREATHE = 512 * MB
"""Address space beside what DuckDB may hold: threads' stacks, the heap's holes, and Python's copies of the answers."""
LARGEST_ANSWER = 64 * MB

_LESS = "let it do less at once"
_HEAD = struct.Struct("<cI")
_HEAVIEST = 2**32 - 1
"""What the head of a message can say; the parent may send so much."""
_SETUP, _TASK = b"s", b"t"
_READY, _ANSWER, _DONE, _WRONG, _MEMORY, _BUG = b"r", b"a", b"d", b"w", b"m", b"b"
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "AUDITOR_TRACEBACK")
"""All that the child gets of our environment: tokens and secrets stand there too."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the child may take."""

    memory: int = 512 * MB
    """Bytes that the work may hold beyond what the prepared child holds."""
    seconds: float = 60.0
    """How long the child may keep us waiting for a task."""
    preparing: float | None = None
    """How long for its preparation, where that is our own work and takes longer; None is the same as for a task."""
    files: Literal["none", "read", "write"] = "none"
    """What the operating system still lets it do with files when it is locked."""


class Worker(Protocol):
    """What runs in the child. Give it a module of its own that is quick to import."""

    def __init__(self, setup: Any) -> None:
        """Prepare, still free. `setup` is a copy of what `Room.prepare` was given."""

    def work(self, task: Any) -> Iterator[Any]:
        """Do a task, locked; give answers that JSON can carry. An AuditorError is raised again in the parent."""


class SandboxError(UsageError):
    """The work outlived its limits."""


class ChildError(RuntimeError):
    """Something was raised in the child that is not told to users."""

    def __init__(self, what: str, kind: str, told: list[Any]) -> None:
        """Take what the child was at, and the raised exception's class and arguments."""
        super().__init__(f"{what}: {kind}: {', '.join(map(str, told))}")
        self._kind = kind
        self._told = told

    def like(self, *modules: ModuleType) -> Exception:
        """Give an exception of the same name and text where one of these modules has it, else this one itself."""
        for module in modules:
            kind = getattr(module, self._kind, None)
            if isinstance(kind, type) and issubclass(kind, Exception):
                with contextlib.suppress(TypeError):
                    return kind(*self._told)
        return self


class Room:
    """The parent's side: one child for as many tasks as there are. Use as a context manager."""

    def __init__(self, worker: type[Worker], limits: Limits | None = None) -> None:
        """Start the child; it imports the worker while the parent goes on."""
        self.limits = limits or Limits()
        self._watch = _Watch(self.stop)
        self._given = self.limits.seconds
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own words
            [sys.executable, "-P", "-c", "from auditor.engine import sandbox; sandbox.child()",
             worker.__module__, worker.__qualname__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("AUDITOR_TRACEBACK") else subprocess.DEVNULL,
            env=_environment(),
            bufsize=0,
        )  # fmt: skip

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child, whatever it is doing."""
        self._watch.stop()
        self.stop()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()

    def prepare(self, setup: Any, *, what: str = "the preparation") -> None:
        """Let the worker prepare itself, then lock it in.

        Raises:
            SandboxError: it took too long or too much.
            UsageError: the worker found something wrong.
        """
        limits = {"memory": self.limits.memory, "files": self.limits.files}
        told = pickle.dumps({"limits": limits, "setup": setup})
        for _ in self._answers(_SETUP, told, what, self.limits.preparing or self.limits.seconds):
            pass

    def ask(self, task: Any, *, what: str, anew: bool = True) -> Iterator[Any]:
        """Give the worker a task; give its answers as they come.

        Args:
            task: for `Worker.work`.
            what: names the task in errors, such as `rule my-rule`: it is the culprit.
            anew: False leaves it only the time that the preparation or task before it did not need.

        Raises:
            SandboxError: it took too long or too much, or killed its process.
            UsageError: the worker found something wrong.
        """
        return self._answers(_TASK, _json(task), what, self.limits.seconds, left=None if anew else self._watch.left)

    def stop(self) -> None:
        """End the child at once; who waits for its answer, in another thread, gets a SandboxError."""
        with contextlib.suppress(OSError):
            self._process.kill()

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """Stop the clock, while the parent waits for somebody else (a reader who turns pages)."""
        left = self._watch.stop()
        try:
            yield
        finally:
            if left is not None:
                self._watch.start(left)

    def _answers(
        self, kind: bytes, message: bytes, what: str, seconds: float, left: float | None = None
    ) -> Iterator[Any]:
        self._given = seconds
        self._watch.start(seconds if left is None else left)
        try:
            try:
                _send(self._process.stdin, kind, message)
                kind, body = _receive(self._process.stdout)
                while kind == _ANSWER:
                    yield json.loads(body)
                    kind, body = _receive(self._process.stdout)
            except (EOFError, OSError) as error:
                raise self._fault(b"", b"", what) from error
            if kind not in (_READY, _DONE):
                raise self._fault(kind, body, what)
        except GeneratorExit:
            self.stop()  # answers that nobody wants would be taken for those to the next task
            raise
        finally:
            self._watch.stop()

    def _fault(self, kind: bytes, body: bytes, what: str) -> Exception:
        if kind == _WRONG:
            told = json.loads(body)
            if told["faults"]:
                return DocumentError([Fault(*fault) for fault in told["faults"]])
            return UsageError(str(told["message"]), str(told["hint"]))
        memory = f"{self.limits.memory // MB} MB"
        if kind == _MEMORY:
            return SandboxError(f"{what} needs more than the {memory} of memory it may take", _LESS)
        if kind == _BUG:
            return ChildError(what, *json.loads(body))
        self.stop()
        code = self._process.wait()
        if self._watch.expired:
            return SandboxError(f"{what} took longer than {self._given:g} s and was stopped", _LESS)
        how = f"was ended by {_signal(-code)}" if code < 0 else f"ended its process (exit code {code})"
        return SandboxError(f"{what} {how}", f"most likely it needs more than the {memory} of memory it may take")


class _Watch:
    """A stop watch that calls when its time is over."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._timer: threading.Timer | None = None
        self._end = 0.0
        self.left = 0.0
        self.expired = False

    def start(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._timer = threading.Timer(max(seconds, 0.0), self._over)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> float | None:
        """Stop; give the seconds that were left, None where it was not running."""
        if self._timer is None:
            return None
        self._timer.cancel()
        self._timer = None
        self.left = self._end - time.monotonic()
        return self.left

    def _over(self) -> None:
        self.expired = True
        self._call()


def _environment() -> Mapping[str, str]:
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    ours = str(Path(__file__).resolve().parents[2])
    # `-P` and no empty path: what lies in the current folder is not imported.
    paths = dict.fromkeys([*(path for path in sys.path if path), ours])
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"}


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _json(message: Any) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", errors="surrogatepass")


def _send(pipe: Any, kind: bytes, body: bytes) -> None:
    view = memoryview(_HEAD.pack(kind, len(body)) + body)
    while view:
        view = view[pipe.write(view) :]


def _receive(pipe: Any, most: int = LARGEST_ANSWER) -> tuple[bytes, bytes]:
    kind, size = _HEAD.unpack(_exactly(pipe, _HEAD.size))
    if size > most:
        raise EOFError(f"a message of {size} bytes")
    return kind, _exactly(pipe, size)


def _exactly(pipe: Any, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = pipe.read(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def child() -> None:
    """Serve the parent from stdin to stdout, until stdin ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all of a terminal's or a service's: the parent's to answer
        signal.signal(number, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # what anybody prints must not come between the answers
    os.close(silence)
    asked: queue.Queue[tuple[bytes, bytes]] = queue.Queue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    served = _Served(out, *sys.argv[1:3])
    while True:
        served.answer(*asked.get())


class _Served:
    """The child's side: the worker, and where its answers go."""

    def __init__(self, out: BinaryIO, module: str, name: str) -> None:
        self._out = out
        self._worker: Worker | None = None
        self._made: type[Worker] | Exception
        try:
            self._made = getattr(importlib.import_module(module), name)
        except Exception as error:  # noqa: BLE001 - told to the parent when it asks
            self._made = error

    def answer(self, kind: bytes, body: bytes) -> None:
        """Serve one message."""
        try:
            for sort, message in self._serve(kind, body):
                self._send(sort, message)
        except AuditorError as error:
            faults = error.faults if isinstance(error, DocumentError) else []
            told = [(fault.path, fault.line, fault.message, fault.hint) for fault in faults]
            self._send(_WRONG, {"message": error.message, "hint": error.hint, "faults": told})
        except MemoryError:
            self._send(_MEMORY, None)
        except Exception as error:  # noqa: BLE001 - the parent tells it
            if os.environ.get("AUDITOR_TRACEBACK"):
                traceback.print_exc()
            plain = [arg if isinstance(arg, int) else str(arg)[:2000] for arg in error.args[:2]]
            self._send(_BUG, [type(error).__name__, plain])

    def _send(self, kind: bytes, message: Any) -> None:
        body = _json(message)
        if len(body) > LARGEST_ANSWER:
            raise UsageError(f"an answer is longer than {LARGEST_ANSWER // MB} MB", _LESS)
        _send(self._out, kind, body)

    def _serve(self, kind: bytes, body: bytes) -> Iterator[tuple[bytes, Any]]:
        if isinstance(self._made, Exception):
            raise self._made
        if kind == _SETUP:
            told = pickle.loads(body)  # noqa: S301 - our own parent's words
            self._worker = self._made(told["setup"])
            _lock(**told["limits"])
            yield _READY, None
        elif self._worker is None:
            raise RuntimeError("a task came before the preparation")
        else:
            for answer in self._worker.work(json.loads(body.decode("utf-8", errors="surrogatepass"))):
                yield _ANSWER, answer
            yield _DONE, None


def _listen(asked: queue.Queue[tuple[bytes, bytes]]) -> None:
    """Read what the parent sends; when it is gone, so is the child, in the middle of whatever it does."""
    stdin: BinaryIO = os.fdopen(0, "rb", buffering=0)
    try:
        while True:
            asked.put(_receive(stdin, _HEAVIEST))
    except (EOFError, OSError):
        os._exit(0)


def _lock(*, memory: int, files: str) -> None:
    """Give up, for good, what the work does not need. On Windows only the clock and DuckDB's own lock hold."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not there on Windows

    size = _size() if sys.platform == "linux" else None  # read while files can be opened

    def most(what: int, value: int) -> None:
        hard = resource.getrlimit(what)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (value, value))

    most(resource.RLIMIT_CORE, 0)
    if files != "write":
        most(resource.RLIMIT_FSIZE, 0)
    if files == "none":
        most(resource.RLIMIT_NOFILE, 0)
    if size is not None:  # macOS does not keep RLIMIT_AS, and has no /proc
        most(resource.RLIMIT_AS, size + memory + ROOM_TO_BREATHE)


def _size() -> int:
    """Give this process's address space in bytes."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
