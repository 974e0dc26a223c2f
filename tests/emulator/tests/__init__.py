"""That each gap is closed and each fault works. Run by scripts/test, under the emulator."""
