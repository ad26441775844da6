//! Keptn's control plane as a pure state machine.
