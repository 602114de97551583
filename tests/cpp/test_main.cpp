#include <cstdio>
#include <utility>
#include <vector>

#include "check.h"

namespace check {

namespace {

std::vector<std::pair<const char*, std::function<void()>>>& tests() {
  static std::vector<std::pair<const char*, std::function<void()>>> all;
  return all;
}

}  // namespace

Registration::Registration(const char* name, std::function<void()> run) {
  tests().emplace_back(name, std::move(run));
}

int run_all() {
  int failures = 0;
  for (const auto& [name, run] : tests()) {
    try {
      run();
    } catch (const Failure& failure) {
      std::printf("FAILED %s: %s\n", name, failure.message.c_str());
      ++failures;
    } catch (const std::exception& error) {
      std::printf("FAILED %s: unexpected exception: %s\n", name, error.what());
      ++failures;
    }
  }
  std::printf("%zu tests, %d failed\n", tests().size(), failures);
  return failures;
}

std::string error_of(const char* file, int line, const std::function<void()>& function) {
  try {
    function();
  } catch (const frames::Error& error) {
    return error.what();
  }
  fail(file, line, "no error was thrown");
}

}  // namespace check

int main() {
  return check::run_all() == 0 ? 0 : 1;
}
