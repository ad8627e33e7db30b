"""Workers have a random name, for their numbers can be given again. The jobs are counted from scratch.

A process of an older version that lived on after 0004 counted by triggers that are no longer there.
"""


def up(migrator, db):
    db.execute_sql("ALTER TABLE worker ADD COLUMN life TEXT")
    db.execute_sql("UPDATE counter SET n = 0")
    db.execute_sql(
        """INSERT INTO counter (queue, state, shard, n) SELECT queue, state, 0, count(*) FROM job WHERE true
             GROUP BY queue, state ON CONFLICT (queue, state, shard) DO UPDATE SET n = excluded.n"""
    )
