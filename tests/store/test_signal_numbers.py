"""Numbers of signals are not kept for ever, and nobody who waits is forgotten with them."""

import threading

import pytest

from polyvisor.store import signals
from polyvisor.store.signals import Signals

PATIENCE_SECONDS = 180.0


def test_subjects_are_forgotten_and_who_waits_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "MOST_SUBJECTS", 100)
    made = Signals()
    made.wake("mine")
    seen = made.count("mine")
    woken: list[bool] = []
    thread = threading.Thread(target=lambda: woken.append(made.wait("mine", seen, PATIENCE_SECONDS)))
    thread.start()
    for number in range(1000):
        made.wake(f"operation:{number}")
    thread.join(PATIENCE_SECONDS)
    assert woken == [True]
    assert len(made._counts) <= 100
