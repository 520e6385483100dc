"""What every room may use and none owns: statistics, asyncio helpers, locks, files."""
