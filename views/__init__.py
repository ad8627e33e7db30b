"""The panel's pages. One blueprint per noun: the first word of a URL is the name of the file that answers it."""

from views import (
    assets,
    config,
    dlq,
    enqueue,
    export,
    health,
    jobs,
    operations,
    overview,
    palette,
    preferences,
    queues,
    saved_views,
    shortcuts,
    trash,
    workers,
)

NOUNS = (
    overview,
    jobs,
    enqueue,
    dlq,
    operations,
    trash,
    saved_views,
    export,
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
