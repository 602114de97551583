#include "check.h"
#include "core/json.h"

using frames::Json;

TEST(json_reads_values) {
  const Json value = Json::parse(
      R"( {"a": [1, -2.5e3, 0.125, true, false, null], "b": {"c": "x\n\u00e9\ud83d\ude00\"/"}} )");
  const std::vector<Json>& a = value.at("a").array();
  CHECK(a.size() == 6);
  CHECK(a[0].integer() == 1);
  CHECK(a[1].number() == -2500.0);
  CHECK(a[2].number() == 0.125);
  CHECK(a[3].boolean() && !a[4].boolean());
  CHECK(a[5].is(Json::Kind::null));
  CHECK(value.at("b").at("c").string() == "x\n\xc3\xa9\xf0\x9f\x98\x80\"/");
  CHECK(value.find("z") == nullptr);
  CHECK(Json::parse("9007199254740992").integer() == 9007199254740992);
  CHECK(Json::parse("1e-400").number() == 0.0);
}

TEST(json_refuses_what_is_no_json) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[1",
                           "[1,]",
                           "{\"a\":}",
                           "{\"a\" 1}",
                           "{a:1}",
                           "tru",
                           "nul",
                           "01",
                           "+1",
                           "1.",
                           ".5",
                           "1e",
                           "-",
                           "\"a",
                           "\"\\x\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\t\"",
                           "1 2",
                           "[1] x",
                           "NaN",
                           "1e999",
                           "{\"a\":1,\"a\":2}",
                           "'a'",
                           "\xff"}) {
    CHECK_ERROR(Json::parse(text), "not valid JSON at byte");
  }
  CHECK_ERROR(Json::parse(std::string(100000, '[')), "nested");
  CHECK_ERROR(Json::parse(std::string(5 << 20, ' ')), "at most 4 MiB");
}

TEST(json_names_the_place) {
  const Json value = Json::parse(R"({"a": {"b": [1.5, "x"]}})");
  CHECK_ERROR(value.at("a").at("c"), "a.c: missing");
  CHECK_ERROR(value.at("a").at("b").number(), "a.b: expected a number");
  CHECK_ERROR(value.at("a").at("b").array()[0].integer(), "a.b: expected a whole number");
  CHECK_ERROR(value.at("a").at("b").array()[1].boolean(), "a.b: expected true or false");
  CHECK_ERROR(Json::parse("1").object(), "contents: expected an object");
  CHECK_ERROR(Json::parse("1e16").integer(), "whole number");
}
