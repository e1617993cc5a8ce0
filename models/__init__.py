"""What makes the classifiers: data loading, fitting, calibration, export, model cards."""
