"""Everything that is derived from stored attempts; no engine is ever opened here."""
