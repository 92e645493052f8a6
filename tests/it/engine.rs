//! The engine: what is understood does not depend on who else is in work.
