"""Recorded parts and labels, followed again by the very classes that follow a running line, under other rules.

Readers of a ledger, one around the other: `period` leaves out what lies outside a time, `retold` has parts judged or drawn otherwise.
"""
