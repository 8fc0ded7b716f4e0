"""What a SEND says beside its destination and body, at random, and what that promises of its message."""

import random
from datetime import UTC, datetime
from typing import Final

from tests.simulation.clock import Clock
from tests.simulation.messages import GUARDED_QUEUE, QUEUES, TOPICS, Sent
from tests.simulation.selectors import word_of

PRIORITIES: Final = (0, 4, 5, 9)
LIVES_S: Final = (0.05, 1, 10, 100)
DELAYS_MS: Final = (1, 50, 1_000, 4_000)
HOURS_MAX: Final = 1_000
"""For how many a line may go on."""
PERIODS_MS: Final = (100, 1_500)


def composite(sent: Sent, chance: random.Random) -> None:
    """It goes to further queues too, all of which have it, or none."""
    further = [f"queue:{name}" for name in QUEUES if chance.random() < 0.7]
    if chance.random() < 0.2:
        further.append(f"queue:{GUARDED_QUEUE}")
    sent.targets = tuple(dict.fromkeys((*sent.targets, *further)))


def _cron(sent: Sent, chance: random.Random, clock: Clock) -> str:
    """In a minute or two, of this day or of each hour."""
    minute = int(clock.served_s() // 60) + chance.choice((1, 2))
    sent.due_s = minute * 60.0
    sent.by_cron = True
    time = datetime.fromtimestamp(sent.due_s, UTC)
    hourly = chance.random() < 0.3
    if hourly:
        sent.repetitions += HOURS_MAX
    day = "* * *" if hourly else f"{time.hour} {time.day} {time.month}"
    return f" 'AMQ_SCHEDULED_CRON:{time.minute} {day} *'"


def dressed(sent: Sent, chance: random.Random, clock: Clock) -> str:
    """Words for such headers."""
    words = f" k:{sent.k}"
    if word := word_of(sent):
        words += f" s:{word}"
    if sent.persistent:
        words += " persistent:true"
    if chance.random() < 0.2:
        sent.priority = chance.choice(PRIORITIES)
        words += f" priority:{sent.priority}"
    sent.offset_s = clock.served_offset_s
    rare = chance.random()
    if rare < 0.12:
        expires_ms = round((clock.served_s() + chance.choice(LIVES_S)) * 1_000)
        sent.expires_s = expires_ms / 1_000
        words += f" expires:{expires_ms}"
    elif rare < 0.24 and not sent.topic:
        # To queues only: who wants a topic when it is sent may not when it is delivered.
        delay_ms = chance.choice(DELAYS_MS)
        sent.due_s = clock.served_s() + delay_ms / 1_000
        words += f" AMQ_SCHEDULED_DELAY:{delay_ms}"
        if chance.random() < 0.3:
            repeats = chance.choice((1, 3))
            sent.repetitions += repeats
            words += f" AMQ_SCHEDULED_PERIOD:{chance.choice(PERIODS_MS)} AMQ_SCHEDULED_REPEAT:{repeats}"
    elif rare < 0.27 and not sent.topic:
        words += _cron(sent, chance, clock)
    elif rare < 0.36 and sent.topic in TOPICS:
        sent.retains = True
        words += " retain:true"
    return words
