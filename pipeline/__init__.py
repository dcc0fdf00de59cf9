"""The library of the stage scripts, in packages; `docs/architecture.md` has their layers."""
