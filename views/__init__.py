"""The panel's pages. One blueprint per noun: the first word of a URL is the name of the file that answers it."""

from views import (
    assets,
    config,
    dlq,
    enqueue,
    health,
    jobs,
    operations,
    overview,
    palette,
    preferences,
    queues,
    shortcuts,
    workers,
)

NOUNS = (
    overview,
    jobs,
    enqueue,
    dlq,
    operations,
    queues,
    workers,
    config,
    palette,
    shortcuts,
    preferences,
    health,
    assets,
)
BLUEPRINTS = tuple(noun.bp for noun in NOUNS)
