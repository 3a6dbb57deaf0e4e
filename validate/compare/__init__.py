"""What is compared: configurations, the cost model beside the measurements, what each method claims; as data."""
