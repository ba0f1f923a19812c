"""The parts of `stepflow test`: finding cases, running them, reporting and updating."""
