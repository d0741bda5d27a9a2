"""What meshdata costs: commands, time, CPU and memory per operation, beside floors measured in the same run."""
