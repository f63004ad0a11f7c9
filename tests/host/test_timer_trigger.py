"""Timer triggers, end to end."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta

from tests.host.harness import HostFolder, peak_overlap, wait_for

EVERY_SECOND = """
@app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%")
async def tick(timer: func.TimerRequest) -> None:
    note(event="tick", past_due=timer.past_due)
"""


def test_a_timer_runs_in_one_of_three_workers_and_moves_when_that_one_dies(host: HostFolder) -> None:
    host.write_app(EVERY_SECOND)
    with host.running(workers=3, SCHEDULE="* * * * * *") as running:
        ticks = running.wait_for_notes("tick", 3)
        holder = ticks[0]["pid"]
        assert {tick["pid"] for tick in ticks} == {holder}
        seconds = [int(tick["at"]) for tick in ticks]
        assert len(set(seconds)) == len(seconds), "one tick for each second"
        os.kill(holder, signal.SIGKILL)
        later = wait_for(
            lambda: [tick for tick in running.journal("tick") if tick["pid"] != holder], "a tick in another worker"
        )
        assert later[0]["at"] - ticks[-1]["at"] < 4
    seconds = [int(tick["at"]) for tick in running.journal("tick")]
    assert len(set(seconds)) == len(seconds)


SLOW_TIMER = """
@app.timer_trigger(arg_name="timer", schedule="00:00:01", run_on_startup=True)
def slow(timer: func.TimerRequest) -> None:
    start = time.time()
    time.sleep(1.2)
    note(event="slow", start=start, end=time.time())

@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
def nightly(timer: func.TimerRequest) -> None:
    note(event="nightly", past_due=timer.past_due, last=timer.schedule_status["Last"])

@app.timer_trigger(arg_name="timer", schedule="0 0 4 * * *")
def fresh(timer: func.TimerRequest) -> None:
    note(event="fresh")
"""


def test_ticks_do_not_overlap_and_a_missed_one_is_caught_up_once(host: HostFolder) -> None:
    host.write_app(SLOW_TIMER)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    status = {"Last": yesterday.isoformat(), "Next": yesterday.isoformat(), "LastUpdated": yesterday.isoformat()}
    (host.folder / "timer-nightly.json").write_text(json.dumps(status))
    with host.running(workers=2) as running:
        slow = running.wait_for_notes("slow", 2)
        assert peak_overlap(slow) == 1
        (nightly,) = running.wait_for_notes("nightly", 1)
        assert nightly["past_due"] is True
        assert running.journal("fresh") == [], "a timer without a status waits for its time"
        following = datetime.fromisoformat(json.loads((host.folder / "timer-nightly.json").read_text())["Next"])
        assert following > datetime.now(UTC)
        assert (following.hour, following.minute) == (3, 0)


def test_a_wrong_schedule_stops_the_start(host: HostFolder) -> None:
    host.write_app(EVERY_SECOND)
    process = host.launch(SCHEDULE="every now and then")
    assert process.wait(20) == 1
    assert "The schedule 'every now and then' of function tick is no NCRONTAB expression" in process.log_text()
