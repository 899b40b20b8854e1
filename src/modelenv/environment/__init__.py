"""Where this process runs, and what it is told: sources, settings, the project's file, the Hugging Face libraries."""
