"""The chapters of the contract suite; `greentic_session.testing` binds them together."""
