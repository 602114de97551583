#include "native/radial_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "core/error.h"

namespace frames::native {

namespace {

constexpr int first_intervals = 16;
constexpr int most_intervals = 4096;

/// The polynomial on [0, 1] with these values and derivatives at both ends.
std::array<double, 6> hermite(const Jet& a, const Jet& b) {
  const double rise = b.value - a.value - a.first - 0.5 * a.second;
  const double slope = b.first - a.first - a.second;
  const double bend = b.second - a.second;
  return {a.value,
          a.first,
          0.5 * a.second,
          10.0 * rise - 4.0 * slope + 0.5 * bend,
          -15.0 * rise + 7.0 * slope - bend,
          6.0 * rise - 3.0 * slope + 0.5 * bend};
}

Jet scaled(const Jet& jet, double h) { return {jet.value, jet.first * h, jet.second * h * h}; }

RadialTable build(const RadialFunctions& evaluate, int functions, double cutoff, int intervals) {
  RadialTable table;
  table.intervals = intervals;
  table.functions = functions;
  table.knots_per_length = intervals / cutoff;
  table.coefficients.reserve(static_cast<std::size_t>(intervals) * functions * 6);
  const double h = cutoff / intervals;
  std::vector<Jet> left(functions), right(functions);
  evaluate(0.0, left);
  for (int k = 0; k < intervals; ++k) {
    evaluate(k + 1 == intervals ? cutoff : (k + 1) * h, right);
    for (int f = 0; f < functions; ++f) {
      const auto c = hermite(scaled(left[f], h), scaled(right[f], h));
      table.coefficients.insert(table.coefficients.end(), c.begin(), c.end());
    }
    left.swap(right);
  }
  return table;
}

/// Compares the table with the functions at a few points of every interval.
void measure(const RadialFunctions& evaluate, double cutoff, RadialTable& table) {
  const int functions = table.functions;
  const double h = cutoff / table.intervals;
  std::vector<Jet> exact(functions), error(functions), largest(functions);
  for (int k = 0; k < table.intervals; ++k) {
    for (const double t : {0.2, 0.35, 0.5, 0.65, 0.8}) {
      evaluate((k + t) * h, exact);
      for (int f = 0; f < functions; ++f) {
        const double* const c = &table.coefficients[(static_cast<std::size_t>(k) * functions + f) * 6];
        const double value = c[0] + t * (c[1] + t * (c[2] + t * (c[3] + t * (c[4] + t * c[5]))));
        const double slope = (c[1] + t * (2 * c[2] + t * (3 * c[3] + t * (4 * c[4] + t * 5 * c[5])))) / h;
        error[f].value = std::max(error[f].value, std::abs(value - exact[f].value));
        error[f].first = std::max(error[f].first, std::abs(slope - exact[f].first));
        largest[f].value = std::max(largest[f].value, std::abs(exact[f].value));
        largest[f].first = std::max(largest[f].first, std::abs(exact[f].first));
      }
    }
  }
  table.value_error = table.slope_error = 0.0;
  for (int f = 0; f < functions; ++f) {
    if (largest[f].value > 0) {
      table.value_error = std::max(table.value_error, error[f].value / largest[f].value);
    }
    if (largest[f].first > 0) {
      table.slope_error = std::max(table.slope_error, error[f].first / largest[f].first);
    }
  }
}

}  // namespace

RadialTable tabulate(const RadialFunctions& evaluate, int functions, double cutoff, double tolerance) {
  for (int intervals = first_intervals; intervals <= most_intervals; intervals *= 2) {
    RadialTable table = build(evaluate, functions, cutoff, intervals);
    measure(evaluate, cutoff, table);
    if (table.value_error <= tolerance && table.slope_error <= tolerance) return table;
  }
  throw Error("the radial functions of the model vary too fast to be tabulated to " + std::to_string(tolerance) +
              " with " + std::to_string(most_intervals) +
              " intervals; the weights are damaged, or evaluate the model with backend torchscript");
}

}  // namespace frames::native
