"""Client files from outside: listing a folder, reading and checking, frames and features."""
