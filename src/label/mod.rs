//! The pipeline: tasks, batches, progress, resume.
