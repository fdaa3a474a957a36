"""From samples to log-mel: windows, filters, compression, loudness."""
