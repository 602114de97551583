#include "native/radial_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "core/error.h"

namespace frames::native {

namespace {

constexpr int most_intervals = 4096;
constexpr int most_coefficients = 1 << 27;  // 1 GiB

// Errors are measured beyond this part of the cutoff: 0.5 Å of 5, where no two atoms come.
constexpr double shortest_of_cutoff = 0.1;

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

/// Derivatives with respect to the place at which the distance is taken.
Jet by_place(const Jet& jet, const RadialGrid& grid, double place) {
  const double rest = grid.scale - place;
  const double first = grid.half * grid.scale / (rest * rest), second = 2.0 * first / rest;
  return {jet.value, jet.first * first, jet.second * first * first + jet.first * second};
}

RadialTable build(const RadialFunctions& evaluate, int functions, double cutoff, int intervals) {
  RadialTable table;
  table.grid = RadialGrid(intervals, cutoff);
  table.functions = functions;
  table.coefficients.reserve(static_cast<std::size_t>(intervals) * functions * 6);
  std::vector<Jet> left(functions), right(functions);
  evaluate(0.0, left);
  for (int k = 0; k < intervals; ++k) {
    evaluate(k + 1 == intervals ? cutoff : table.grid.distance(k + 1), right);
    for (int f = 0; f < functions; ++f) {
      const auto c = hermite(by_place(left[f], table.grid, k), by_place(right[f], table.grid, k + 1));
      for (const double coefficient : c) {
        if (!std::isfinite(coefficient))
          throw Error("the radial functions of the model are not finite; the weights are damaged");
      }
      table.coefficients.insert(table.coefficients.end(), c.begin(), c.end());
    }
    left.swap(right);
  }
  return table;
}

/// Compares the table with the functions at a few points of every interval.
void measure(const RadialFunctions& evaluate, double shortest, RadialTable& table) {
  const int functions = table.functions;
  std::vector<Jet> exact(functions), error(functions), largest(functions);
  for (int k = 0; k < table.grid.intervals; ++k) {
    for (const double t : {0.2, 0.35, 0.5, 0.65, 0.8}) {
      const double distance = table.grid.distance(k + t);
      if (distance < shortest) continue;
      evaluate(distance, exact);
      const double stretch = by_place({0.0, 1.0, 0.0}, table.grid, k + t).first;
      for (int f = 0; f < functions; ++f) {
        const double* const c = &table.coefficients[(static_cast<std::size_t>(k) * functions + f) * 6];
        const double value = c[0] + t * (c[1] + t * (c[2] + t * (c[3] + t * (c[4] + t * c[5]))));
        const double slope =
            (c[1] + t * (2 * c[2] + t * (3 * c[3] + t * (4 * c[4] + t * 5 * c[5])))) / stretch;
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
  // 16, 24, 32, 48, 64, ...
  for (int intervals = 16; intervals <= most_intervals && intervals <= most_coefficients / (6 * functions);
       intervals += intervals & (intervals - 1) ? intervals / 3 : intervals / 2) {
    RadialTable table = build(evaluate, functions, cutoff, intervals);
    measure(evaluate, shortest_of_cutoff * cutoff, table);
    if (table.value_error <= tolerance && table.slope_error <= tolerance) return table;
  }
  throw Error(
      "the radial functions of the model vary too fast to be tabulated; the weights are damaged, or evaluate "
      "the model "
      "with backend torchscript");
}

}  // namespace frames::native
