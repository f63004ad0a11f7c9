"""The Azure Functions app: bindings only. What each function does is in elastic_jobs.agent and elastic_jobs.api."""

from __future__ import annotations

import azure.functions as func

from elastic_jobs.agent.messages import STEPS_QUEUE, TARGETS_QUEUE
from elastic_jobs.agent.runtime import runtime
from elastic_jobs.api.functions import functions_app
from elastic_jobs.api.lazy import lazy_app

app = functions_app(lazy_app(lambda: runtime().services))


@app.function_name("tick")
@app.timer_trigger(arg_name="timer", schedule="%TICK_SCHEDULE%", run_on_startup=False, use_monitor=False)
async def tick(timer: func.TimerRequest) -> None:
    """Start due jobs and mend what is broken; late, doubled and simultaneous ticks are harmless."""
    del timer
    await runtime().tick()


@app.function_name("expand_step")
@app.queue_trigger(arg_name="message", queue_name=STEPS_QUEUE, connection="AzureWebJobsStorage")
async def expand_step(message: func.QueueMessage) -> None:
    """Resolve a step's target group and plan its targets, or start what a schedule has due at this instant."""
    await runtime().handle(message.get_body().decode(errors="replace"))


@app.function_name("run_target")
@app.queue_trigger(arg_name="message", queue_name=TARGETS_QUEUE, connection="AzureWebJobsStorage")
async def run_target(message: func.QueueMessage) -> None:
    """Run a step's script on a target database."""
    await runtime().handle(message.get_body().decode(errors="replace"))
