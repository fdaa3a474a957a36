"""What every stage needs: errors, files, parameters, worker threads, progress."""
