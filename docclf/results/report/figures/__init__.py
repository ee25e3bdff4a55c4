"""The figures of a report, in Plotly's description."""
