"""The rules of elastic jobs without any I/O: lifecycle, schedule, retry, targets, scripts."""
