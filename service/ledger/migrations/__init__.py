"""How a ledger of any earlier version becomes one of today. Alembic runs it from `service.ledger.migrating`.

A version is a file in `versions/`, never changed once released. All of an upgrade is one transaction.
"""
