#pragma once

#include <functional>
#include <sstream>
#include <string>

#include "core/error.h"

/// A test framework of one page: tests register themselves, a failed check ends its test with a message.
namespace check {

struct Failure {
  std::string message;
};

struct Registration {
  Registration(const char* name, std::function<void()> run);
};

/// Runs all tests and prints those that fail. Returns how many.
int run_all();

[[noreturn]] inline void fail(const char* file, int line, const std::string& what) {
  std::ostringstream text;
  text << file << ":" << line << ": " << what;
  throw Failure{text.str()};
}

/// Runs `function`, which must throw frames::Error, and returns its message.
std::string error_of(const char* file, int line, const std::function<void()>& function);

}  // namespace check

#define TEST(name)                                                          \
  static void test_##name();                                                \
  static const check::Registration registration_##name(#name, test_##name); \
  static void test_##name()

#define CHECK(condition) \
  if (!(condition)) check::fail(__FILE__, __LINE__, #condition)

#define CHECK_NEAR(a, b, tolerance)                                                         \
  do {                                                                                      \
    const double left = (a), right = (b);                                                   \
    if (!(left - right <= (tolerance) && right - left <= (tolerance))) {                    \
      check::fail(__FILE__, __LINE__,                                                       \
                  #a " = " + std::to_string(left) + ", " #b " = " + std::to_string(right)); \
    }                                                                                       \
  } while (false)

/// The expression must throw frames::Error with `part` in its message.
#define CHECK_ERROR(expression, part)                                                             \
  do {                                                                                            \
    const std::string message = check::error_of(__FILE__, __LINE__, [&] { (void)(expression); }); \
    if (message.find(part) == std::string::npos) {                                                \
      check::fail(__FILE__, __LINE__, "message \"" + message + "\" lacks \"" + (part) + "\"");    \
    }                                                                                             \
  } while (false)
