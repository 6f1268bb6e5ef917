"""What people, programs and files do to the line that it was not made for. docs/security.md says what holds all the same."""
