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

/// Functions of the distance as piecewise polynomials of fifth degree (quintic Hermite splines): they agree with the
/// functions in value, first and second derivative at the knots, so a table is continuous to second order, and exactly
/// zero at the cutoff with its first two derivatives where the functions are.
struct RadialTable {
  int intervals = 0;
  int functions = 0;
  double knots_per_length = 0.0;     ///< 1/Å
  double value_error = 0.0;          ///< measured between the knots, relative to the largest value of the function
  double slope_error = 0.0;          ///< the same of the first derivative
  std::vector<double> coefficients;  ///< [intervals][functions][6]: of powers 0 to 5 of the fraction of the interval
};

/// Doubles the number of intervals until both errors are at most `tolerance`. Throws Error if 4096 do not suffice.
RadialTable tabulate(const RadialFunctions& evaluate, int functions, double cutoff, double tolerance);

}  // namespace frames::native
