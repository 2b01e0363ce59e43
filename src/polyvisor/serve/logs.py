"""Logs: one line an event on standard error, with the request, server or operation it belongs to."""

import logging
import pkgutil
import sys
from collections.abc import Mapping
from typing import Any, Literal

import structlog
from structlog.typing import Processor

import polyvisor
from polyvisor.model.errors import Invalid

Format = Literal["auto", "text", "json"]
LEVELS = ("debug", "info", "warning", "error")
_FIRST = ["timestamp", "level", "logger", "event"]


def log_to_stderr(level: str, form: Format = "auto", levels: Mapping[str, str] | None = None) -> None:
    """Send structlog's and the standard library's logs the same way, in the same form.

    `form`: "text" (logfmt), "json", or "auto" = for the eye on a terminal, else text. `levels`: area → level, where it
    is not `level`. Raises Invalid for an area or a level that there is not.
    """
    lowest = _checked(level).upper()
    areas = {_logger(area): _checked(name).upper() for area, name in (levels or {}).items()}
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_colours, *_rendered(form)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # What libraries say below "info" may be whole requests with their passwords: it is never logged.
    root.setLevel(max(logging.INFO, logging.getLevelNamesMapping()[lowest]))
    logging.getLogger("polyvisor").setLevel(lowest)
    for logger, own in areas.items():
        logging.getLogger(logger).setLevel(own)
    for noisy in ("oslo_policy", "stevedore", "alembic", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _rendered(form: Format) -> list[Processor]:
    if form == "auto" and sys.stderr.isatty():
        # The plain form of a traceback: others show the values of variables, secret ones among them.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=True, pad_event_to=0, exception_formatter=plain)]
    if form == "json":
        return [structlog.processors.format_exc_info, _ordered, structlog.processors.JSONRenderer()]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(key_order=_FIRST, bool_as_flag=False),
    ]


def _without_colours(_logger: Any, _method: str, event: Any) -> Any:
    """Uvicorn says everything twice, once for terminals."""
    event.pop("color_message", None)
    return event


def _ordered(_logger: Any, _method: str, event: Any) -> dict[str, Any]:
    """What every line has comes first."""
    return {**{key: event[key] for key in _FIRST if key in event}, **event}


def _logger(area: str) -> str:
    known = sorted(each.name for each in pkgutil.iter_modules(polyvisor.__path__) if each.ispkg)
    if area.partition(".")[0] not in known:
        raise Invalid(f"[log_levels] names no area {area!r}: choose one of {', '.join(known)}, or a part of one.")
    return f"polyvisor.{area}"


def _checked(level: str) -> str:
    if level not in LEVELS:
        raise Invalid(f"{level!r} is no level of logging: choose one of {', '.join(LEVELS)}.")
    return level
