"""The processes of a worker's runs that cannot be ended, as JSON."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE worker ADD COLUMN survivors TEXT")
