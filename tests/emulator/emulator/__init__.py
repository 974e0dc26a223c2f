"""AWS on this machine, for tests: moto with its gaps closed (or ministack), behind a proxy that can inject faults.

    python -m emulator [--backend moto|ministack] [-- COMMAND ...]
"""
