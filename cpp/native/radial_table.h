#pragma once

#include <functional>
#include <vector>

namespace frames::native {

/// Value and first two derivatives with respect to the distance.
struct Jet {
  double value = 0.0, first = 0.0, second = 0.0;
};

/// Fills one Jet per function at a distance in Å.
using RadialFunctions = std::function<void(double distance, std::vector<Jet>& values)>;

/// Knots that are closer where radial functions vary faster, at short distances: equal steps of
/// place(r) = scale r / (r + half), which runs from 0 to the number of intervals at the cutoff.
struct RadialGrid {
  int intervals = 0;
  double half = 0.0;  ///< Å
  double scale = 0.0;

  RadialGrid() = default;
  RadialGrid(int intervals, double cutoff)
      : intervals(intervals), half(0.4 * cutoff), scale(intervals * (cutoff + half) / cutoff) {}
  double distance(double place) const { return half * place / (scale - place); }
};

/// Functions of the distance as piecewise polynomials of fifth degree in the place (quintic Hermite splines):
/// they agree with the functions in value, first and second derivative at the knots, so a table is continuous
/// to second order, and exactly zero at the cutoff with its first two derivatives where the functions are.
struct RadialTable {
  RadialGrid grid;
  int functions = 0;
  double value_error = 0.0;  ///< relative to the function's largest value; the largest of all functions
  double slope_error = 0.0;  ///< relative to its largest slope
  /// [intervals][functions][6]: of powers 0 to 5 of the place in the interval
  std::vector<double> coefficients;
};

/// Takes more and more intervals until both errors, measured between the knots beyond a tenth of the cutoff,
/// are at most `tolerance`. Throws Error if 4096 do not suffice.
RadialTable tabulate(const RadialFunctions& evaluate, int functions, double cutoff, double tolerance);

}  // namespace frames::native
