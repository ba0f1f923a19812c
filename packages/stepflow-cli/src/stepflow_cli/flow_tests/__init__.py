"""The parts of `stepflow test`: finding, running, reporting and updating cases."""
