// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include "lammps/pair_arguments.h"

#include <cmath>
#include <cstdlib>
#include <set>

#include "core/error.h"

namespace frames {

namespace {

constexpr int most_steps = 1000000000;

double number(const std::string& keyword, const std::string& word) {
  char* end = nullptr;
  const double value = std::strtod(word.c_str(), &end);
  if (end == word.c_str() || *end != '\0' || !std::isfinite(value)) {
    throw Error("keyword " + keyword + " has value " + word + ", expected a number");
  }
  return value;
}

bool yes_or_no(const std::string& keyword, const std::string& word) {
  if (word == "yes" || word == "on" || word == "true") return true;
  if (word == "no" || word == "off" || word == "false") return false;
  throw Error("keyword " + keyword + " has value " + word + ", expected yes or no");
}

const std::set<std::string> keywords = {"backend", "device", "threshold", "save", "stop", "every"};

void set(PairSettings& settings, const std::string& keyword, const std::string& word) {
  if (keyword == "backend") {
    settings.backend = word;
  } else if (keyword == "device") {
    settings.device = word;
  } else if (keyword == "threshold") {
    settings.threshold = number(keyword, word);
    if (settings.threshold <= 0.0) {
      throw Error("keyword threshold has value " + word + ", expected a force above 0");
    }
  } else if (keyword == "save") {
    settings.save = word;
  } else if (keyword == "stop") {
    settings.stop = yes_or_no(keyword, word);
  } else {
    const double steps = number(keyword, word);
    if (steps < 1.0 || steps > most_steps || steps != std::floor(steps)) {
      throw Error("keyword every has value " + word + ", expected a number of steps, at least 1");
    }
    settings.every = static_cast<int>(steps);
  }
}

bool names_file(const std::string& word) {
  return word.find('.') != std::string::npos || word.find('/') != std::string::npos;
}

}  // namespace

PairSettings parse_pair_style(const std::vector<std::string>& words) {
  PairSettings settings;
  bool depends = false;  // on a threshold
  for (std::size_t k = 0; k < words.size(); k += 2) {
    const std::string& keyword = words[k];
    if (keywords.count(keyword) == 0) {
      throw Error("unknown keyword " + keyword +
                  ", expected backend, device, threshold, save, stop or every");
    }
    if (k + 1 == words.size()) throw Error("keyword " + keyword + " has no value");
    set(settings, keyword, words[k + 1]);
    depends |= keyword == "save" || keyword == "stop" || keyword == "every";
  }
  if (depends && !settings.watches()) {
    throw Error("save, stop and every belong to keyword threshold, which is missing");
  }
  return settings;
}

PairCoefficients parse_pair_coeff(const std::vector<std::string>& words, int types) {
  if (words.size() < 4 || words[0] != "*" || words[1] != "*") throw Error(coeff_syntax);
  PairCoefficients coefficients;
  std::size_t k = 2;
  for (; k < words.size() && (k == 2 || names_file(words[k])); ++k) coefficients.files.push_back(words[k]);
  for (; k < words.size(); ++k) coefficients.elements.push_back(words[k]);
  if (coefficients.elements.size() != static_cast<std::size_t>(types)) {
    throw Error(std::to_string(coefficients.elements.size()) + " element(s) for " + std::to_string(types) +
                " atom type(s); " + coeff_syntax);
  }
  return coefficients;
}

}  // namespace frames
