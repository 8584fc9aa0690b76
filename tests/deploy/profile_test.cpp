// Instruction classes: the decoder against objdump, counts of known code, whole models against the
// instruction clock.
#include "micromind/deploy/profile.h"

#include <gmock/gmock.h>

#include <charconv>
#include <cstdlib>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "deploy/every_operator.h"
#include "deploy/guest.h"
#include "micromind/base/file.h"
#include "micromind/deploy/cycle_model.h"
#include "micromind/deploy/deploy.h"
#include "micromind/deploy/emit.h"

namespace micromind {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Class = InstructionClass;

// --- Decoder -----------------------------------------------------------------------------------------------

struct Line {
  std::uint16_t first = 0, second = 0;
  std::string mnemonic, operands;
};

// "   8:	fb11 2103 	smlabb	r1, r1, r3, r2" → its parts; false for what is no instruction.
bool parse_line(const std::string& text, Line& line) {
  std::istringstream parts(text);
  std::string address, bytes;
  if (!std::getline(parts, address, '\t') || !std::getline(parts, bytes, '\t') || !address.ends_with(':'))
    return false;
  if (!std::getline(parts, line.mnemonic, '\t')) return false;
  std::getline(parts, line.operands, '\t');
  if (line.mnemonic.starts_with(".") || line.mnemonic.find("UNDEFINED") != std::string::npos ||
      line.mnemonic.starts_with("\t"))
    return false;
  std::istringstream halves(bytes);
  std::string a, b;
  halves >> a >> b;
  if (a.size() != 4) return false;  // a literal word
  std::from_chars(a.data(), a.data() + 4, line.first, 16);
  line.second = 0;
  if (b.size() == 4) std::from_chars(b.data(), b.data() + 4, line.second, 16);
  return true;
}

bool in(const std::string& name, const std::set<std::string>& list) {
  return list.contains(name);
}

bool starts(const std::string& name, std::initializer_list<const char*> list) {
  for (const char* prefix : list)
    if (name.starts_with(prefix)) return true;
  return false;
}

std::string without_condition(std::string m) {
  static const std::set<std::string> conditions = {"eq", "ne", "cs", "cc", "mi", "pl", "vs",
                                                   "vc", "hi", "ls", "ge", "lt", "gt", "le"};
  if (m.size() > 4 && conditions.contains(m.substr(m.size() - 2)) &&
      !starts(m, {"smul", "smla", "umla", "umul", "mls", "teq", "movs", "mul"}))
    m.resize(m.size() - 2);
  return m;
}

// The class by name, from Arm's list of mnemonics.
Class class_by_mnemonic(const Line& line) {
  std::string m = line.mnemonic.substr(0, line.mnemonic.find('.'));
  const std::string full = line.mnemonic;
  if (starts(m, {"v"})) {
    static const std::regex q_register("q[0-7]");
    const bool uses_q = std::regex_search(line.operands, q_register);
    const bool mve = uses_q || starts(m, {"vpst", "vpt", "vpnot", "vctp", "vpte", "vpstt", "vpste"});
    if (mve) {
      if (starts(m, {"vdup"})) return Class::float_move;
      if (starts(m, {"vldr", "vld2", "vld4"})) return Class::mve_load;
      if (starts(m, {"vstr", "vst2", "vst4"})) return Class::mve_store;
      if (m == "vmov" && line.operands.find('[') != std::string::npos) return Class::float_move;
      if (starts(m, {"vmul", "vmla", "vrmla", "vmls", "vrmls", "vrmulh", "vqdmul", "vqrdmul", "vqdmla",
                     "vqrdmla", "vqrdmls", "vqdmls", "vfma", "vfms", "vcmul", "vcmla"}))
        return Class::mve_multiply;
      return Class::mve_arithmetic;
    }
    if (starts(m, {"vldr", "vldm", "vpop"})) return Class::float_load;
    if (starts(m, {"vstr", "vstm", "vpush"})) return Class::float_store;
    if (starts(m, {"vmla", "vmls", "vnmla", "vnmls", "vfma", "vfms", "vfnma", "vfnms"}))
      return Class::float_multiply_accumulate;
    if (starts(m, {"vdiv", "vsqrt"})) return Class::float_divide;
    if (starts(m, {"vmrs", "vmsr", "vdup"})) return Class::float_move;
    if (m == "vmov" || starts(m, {"vmov"})) {  // between core and FP registers
      std::istringstream words(line.operands);
      for (std::string word; std::getline(words, word, ',');) {
        const auto at = word.find_first_not_of(' ');
        if (at != std::string::npos &&
            (word[at] == 'r' || word.substr(at).starts_with("ip") || word.substr(at).starts_with("lr") ||
             word.substr(at).starts_with("sl") || word.substr(at).starts_with("fp")))
          return Class::float_move;
      }
    }
    return Class::float_arithmetic;
  }
  if (in(m, {"le", "letp"})) return Class::loop_end;
  if (in(m, {"dls", "dlstp", "wls", "wlstp", "msr", "mrs", "dsb", "dmb", "isb", "cpsid", "cpsie", "bkpt",
             "svc", "udf", "mcr", "mrc", "sg", "clrm"}))
    return Class::system;
  if (in(m, {"it", "ite", "itt", "ittt", "itte", "itet", "itee", "itttt", "ittte", "ittet", "ittee", "itett",
             "itete", "iteet", "iteee"}))
    return Class::if_then;
  if (in(m, {"cbz", "cbnz", "beq", "bne", "bcs", "bcc", "bmi", "bpl", "bvs", "bvc", "bhi", "bls", "bge",
             "blt", "bgt", "ble"}))
    return Class::branch_conditional;
  m = without_condition(m);
  if (in(m, {"mov", "add"}) && line.operands.starts_with("pc")) return Class::branch;
  if (in(m, {"b", "bl", "bx", "blx", "tbb", "tbh"})) return Class::branch;
  if (in(m, {"ldrd", "pop", "ldmia", "ldm", "ldmdb"})) return Class::load_multiple;
  if (in(m, {"strd", "push", "stmia", "stm", "stmdb"})) return Class::store_multiple;
  if (m == "pld") return Class::arithmetic;
  if (starts(m, {"ldr", "lda"})) return Class::load;
  if (starts(m, {"str", "stl"})) return Class::store;
  if (in(m, {"mul", "muls"})) return Class::multiply;
  if (in(m, {"mla", "mls"})) return Class::multiply_accumulate;
  if (in(m, {"smull", "umull", "smlal", "umlal", "umaal"})) return Class::multiply_long;
  if (in(m, {"sdiv", "udiv"})) return Class::divide;
  if (starts(m, {"smla", "smul", "smua", "smus", "smls", "smm"})) return Class::dsp_multiply;
  static const std::set<std::string> dsp = {
      "sxtab",  "uxtab",  "sxtah", "uxtah",  "sxtb16", "uxtb16", "sxtab16", "uxtab16", "qadd",
      "qsub",   "qdadd",  "qdsub", "sel",    "sadd16", "sadd8",  "ssub16",  "ssub8",   "uadd16",
      "uadd8",  "usub16", "usub8", "qadd16", "qadd8",  "qsub16", "qsub8",   "uqadd8",  "shadd16",
      "uhadd8", "sasx",   "ssax",  "uasx",   "usax",   "qasx",   "usad8",   "usada8"};
  if (in(m, dsp)) return Class::dsp;
  return Class::arithmetic;
}

void compile(const std::filesystem::path& folder, const std::vector<std::string>& flags,
             const std::filesystem::path& source) {
  std::vector<std::string> command = {
      "arm-none-eabi-gcc",       "-mthumb",      "-O2", "-c", "-o", (folder / "x.o").string(),
      "-I" MICROMIND_SOURCE_DIR, source.string()};
  command.insert(command.end(), flags.begin(), flags.end());
  const ProcessResult built = run_process(command, {.folder = folder, .timeout_s = 100});
  EXPECT_EQ(built.exit_status, 0) << built.err;
}

std::map<Class, int> check_against_objdump(const std::vector<std::string>& flags, const std::string& source,
                                           const std::string& extension) {
  const TemporaryFolder folder;
  write_atomic(folder.path() / ("x" + extension), source);
  compile(folder.path(), flags, folder.path() / ("x" + extension));
  std::vector<std::string> disassemble = {"arm-none-eabi-objdump", "-d", (folder.path() / "x.o").string()};
  if (flags[0] == "-mcpu=cortex-m55")
    disassemble.insert(disassemble.end(), {"-m", "armv8.1-m.main"});  // else MVE is "cdp"
  const std::string text = run_process(disassemble, {.folder = {}, .timeout_s = 100}).out;
  std::map<Class, int> seen;
  std::istringstream lines(text);
  for (std::string one; std::getline(lines, one);) {
    Line line;
    if (!parse_line(one, line)) continue;
    const DecodedInstruction d = decode_thumb(line.first, line.second);
    EXPECT_EQ(instruction_class_name(d.kind), instruction_class_name(class_by_mnemonic(line))) << one;
    ++seen[d.kind];
    if (d.kind == Class::load_multiple || d.kind == Class::store_multiple) {
      const bool pair = line.mnemonic.find("rd") != std::string::npos;
      const std::string& o = line.operands;
      const auto listed = static_cast<int>(std::count(
                              o.begin() + static_cast<std::ptrdiff_t>(
                                              o.find('{') == std::string::npos ? o.size() : o.find('{')),
                              o.end(), ',')) +
                          1;
      if (o.find('-') == std::string::npos) {
        EXPECT_EQ(d.words, pair ? 2 : listed) << one;
      }
      EXPECT_EQ(d.writes_pc, d.kind == Class::load_multiple && o.find("pc}") != std::string::npos) << one;
    }
  }
  return seen;
}

const std::string& kernels_source() {
  static const std::string text = [] {
    std::string c = "#include \"runtime/kernels/softmax_s8.h\"\n";
    for (const char* name :
         {"conv2d_s8", "depthwise_conv2d_s8", "linear_s8", "average_pool2d_s8", "max_pool2d_s8", "mean_s8",
          "add_s8", "mul_s8", "table_s8", "softmax_s8", "concat_s8", "upsample_nearest2d_s8", "pad_s8"}) {
      const bool two = std::string(name) == "add_s8" || std::string(name) == "mul_s8";
      c += fmt::format(
          "#include \"runtime/kernels/{0}.h\"\nvoid f_{0}(const mm_{0}_params* p, const int8_t* a, "
          "{1}int8_t* o) {{ mm_{0}(p, a, {2}o); }}\n",
          name, two ? "const int8_t* b, " : "", two ? "b, " : "");
    }
    // Beyond the kernels: floats, 64 bits, DSP, jump tables, recursion.
    c += "float sf(float a, float b, float* p) { for (int i = 0; i < 9; ++i) a = a * b + p[i] / b; return a; "
         "}\n"
         "double sd(double a, double* p) { return p[3] = a * p[0] + p[1]; }\n"
         "long long l(long long a, int b, int c) { return a + (long long)b * c; }\n"
         "unsigned d(unsigned a, unsigned b) { return a / b + a % 7u; }\n"
         "int g(int); int s(int a) { switch (a) { case 0: return g(1); case 1: return g(5) + 1; case 2: "
         "return g(9) * 3; case 3: return g(2) - 7; case 4: return 4; case 5: return g(77); } return s(g(a)) "
         "+ g(4); }\n"
         "#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP\n"
         "int e(int a, int b, int c) { __asm__(\"sxtb16 %0, %1\\n sxtab16 %0, %0, %1\\n smlad %0, %0, %1, "
         "%2\\n smuad %0, %0, %1\\n qadd %0, %0, %1\\n sadd16 %0, %0, %1\\n sel %0, %0, %1\\n"
         " smlabb %0, %0, %1, %2\\n smulwb %0, %0, %1\\n smmla %0, %0, %1, %2\\n usad8 %0, %0, %1\\n usada8 "
         "%0, %0, %1, %2\\n sxtab %0, %0, %1\\n uxtah %0, %0, %1\\n smlald %0, %2, %1, %1\\n"
         " smlalbt %0, %2, %1, %1\\n umaal %0, %2, %1, %1\\n smlsld %0, %2, %1, %1\\n pkhbt %0, %0, %1\\n "
         "clz %0, %0\\n rev %0, %0\\n rbit %0, %0\\n ssat %0, #8, %0\\n usat16 %0, #4, %0\\n"
         " ldrex %0, [%1]\\n strex %0, %2, [%1]\\n pld [%1]\\n mrs %0, primask\\n dmb\\n nop.w\\n uxtb16 %0, "
         "%1\" : \"+r\"(a) : \"r\"(b), \"r\"(c)); return a; }\n#endif\n";
    return c;
  }();
  return text;
}

TEST(InstructionClasses, AgreeWithObjdumpOnTheKernels) {
  if (!find_program("arm-none-eabi-gcc")) GTEST_SKIP() << "arm-none-eabi-gcc is not installed";
  const std::vector<std::vector<std::string>> cores = {
      {"-mcpu=cortex-m0plus"},
      {"-mcpu=cortex-m3"},
      {"-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-O3"},
      {"-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard"},
      {"-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard", "-Os"},
      {"-mcpu=cortex-m55", "-mfloat-abi=hard"},
      {"-mcpu=cortex-m55", "-mfloat-abi=hard", "-O3"}};
  std::map<Class, int> all;
  for (const auto& flags : cores) {
    SCOPED_TRACE(flags[0]);
    int total = 0;
    for (const auto& [c, n] : check_against_objdump(flags, kernels_source(), ".c")) all[c] += n, total += n;
    EXPECT_GT(total, 1000);
  }
  for (std::size_t c = 0; c < kInstructionClasses; ++c) {
    const auto kind = static_cast<Class>(c);
    const bool vector = kind >= Class::mve_load && kind <= Class::mve_arithmetic;  // the next test's
    EXPECT_TRUE(vector || all[kind] > 0) << instruction_class_name(kind) << " did not occur";
  }
}

TEST(InstructionClasses, AgreeWithObjdumpOnVectors) {
  if (!find_program("arm-none-eabi-gcc")) GTEST_SKIP() << "arm-none-eabi-gcc is not installed";
  const std::string source =
      read_text(std::string(MICROMIND_SOURCE_DIR) + "/tests/deploy/vector_instructions.s");
  const std::map<Class, int> seen =
      check_against_objdump({"-mcpu=cortex-m55", "-mfloat-abi=hard"}, source, ".s");
  EXPECT_GT(seen.at(Class::mve_multiply), 25);
  EXPECT_GT(seen.at(Class::mve_arithmetic), 25);
  EXPECT_GE(seen.at(Class::mve_load), 7);
}

TEST(InstructionClasses, NeighboursInABlock) {
  InstructionCounts counts;
  BlockCounter block(counts);
  block.add(0x6801, 0);  // ldr
  block.add(0x6842, 0);  // ldr: chained
  block.add(0x4351, 0);  // muls
  block.add(0x6843, 0);  // ldr
  block.break_chain();
  block.add(0x6843, 0);       // ldr, no neighbour
  block.add(0xED90, 0x1E00);  // vldrb
  block.add(0xEEF0, 0x0E22);  // vmladava: overlaps
  block.add(0xEEF0, 0x0E22);  // the same unit
  block.add(0xE8BD, 0x8FF0);  // ldmia.w sp!, {r4-fp, pc}
  EXPECT_EQ(counts[Class::load], 4u);
  EXPECT_EQ(counts.chained_loads, 1u);
  EXPECT_EQ(counts.overlapped_mve, 1u);
  EXPECT_EQ(counts.words, 9u);
  EXPECT_EQ(counts.pc_loads, 1u);
  EXPECT_EQ(counts.total(), 9u);
  EXPECT_EQ(counts.loads(), 6u);
  InstructionCounts twice = counts;
  twice += counts;
  EXPECT_EQ(twice.total(), 18u);
  EXPECT_EQ(twice.words, 18u);
}

// --- Cycles ------------------------------------------------------------------------------------------------

TEST(CycleModel, AddsUpByHand) {
  InstructionCounts c;
  c[Class::arithmetic] = 10;
  c[Class::load] = 4;
  c.chained_loads = 1;
  c[Class::load_multiple] = 1;
  c.words = 3;
  c.pc_loads = 1;
  c[Class::branch_conditional] = 5;
  c.taken = 4;
  EXPECT_DOUBLE_EQ(estimate_cycles(c, *cycle_table(Core::kCortexM4)), 10 + 4 * 2 - 1 + 1 + 3 + 2 + 5 + 4 * 2);
  EXPECT_DOUBLE_EQ(estimate_cycles(c, *cycle_table(Core::kCortexM0Plus)), 10 + 4 * 2 + 1 + 3 + 2 + 5 + 4 * 1);
  EXPECT_EQ(cycle_table(Core::kHost), nullptr);
  for (const Core core :
       {Core::kCortexM0, Core::kCortexM3, Core::kCortexM33, Core::kCortexM7, Core::kCortexM55}) {
    ASSERT_NE(cycle_table(core), nullptr);
    EXPECT_EQ(cycle_table(core)->core, core);
    EXPECT_FALSE(cycle_table(core)->source.empty());
    EXPECT_GT(estimate_cycles(c, *cycle_table(core)), 5);
  }
}

// --- On emulated cores -------------------------------------------------------------------------------------

class Profile : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { SKIP_WITHOUT_TOOLS(); }
  const Target target_ = emulation_target(load_target(GetParam()));
  const TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Emulated, Profile,
                         testing::Values("mps2-an500", "mps2-an386", "mps3-an547", "mps2-an505", "mps2-an385",
                                         "microbit"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(Profile, KnownCodeIsCountedExactly) {
  const BuildResult built = build_image(target_, guest("profile"), folder_.path() / "build,with,commas");
  const ProfiledRun run = profile_on_emulator(target_, built, {.folder = folder_.path()}, {"uncounted"});
  EXPECT_EQ(run.result.report("end"), 1);
  ASSERT_EQ(run.regions.size(), target_.features.dsp ? 4u : 3u);
  const InstructionCounts& nothing = run.regions[0];
  EXPECT_EQ(nothing.total(), 1u);  // the call of mm_profile_stop
  EXPECT_EQ(nothing[Class::branch], 1u);

  const InstructionCounts& loop = run.regions[1];
  EXPECT_EQ(loop[Class::load], 20u);
  EXPECT_EQ(loop.chained_loads, 10u);
  EXPECT_EQ(loop[Class::multiply], 10u);
  EXPECT_EQ(loop[Class::store], 10u);
  EXPECT_EQ(loop[Class::branch_conditional], 11u);
  EXPECT_EQ(loop.taken, 9u);
  EXPECT_EQ(loop[Class::load_multiple], 1u);
  EXPECT_EQ(loop[Class::store_multiple], 1u);
  EXPECT_EQ(loop.words, 8u);
  EXPECT_EQ(loop[Class::branch], 1u);
  EXPECT_GE(loop[Class::arithmetic], 22u);  // and perhaps one that fetches the address
  EXPECT_LE(loop[Class::arithmetic], 23u);
  EXPECT_EQ(loop.total(), 20 + 10 + 10 + 11 + 2 + 1 + loop[Class::arithmetic]);

  EXPECT_EQ(run.regions[2].total(), 2u);  // two calls; what is called is excluded

  if (!target_.features.dsp) return;
  const InstructionCounts& wide = run.regions[3];
  EXPECT_EQ(wide[Class::load_multiple], 1u);
  EXPECT_EQ(wide.words, 2u);
  EXPECT_EQ(wide[Class::dsp_multiply], 1u);
  EXPECT_EQ(wide[Class::dsp], 1u);
  EXPECT_EQ(wide[Class::multiply_long], 1u);
  EXPECT_EQ(wide[Class::divide], 1u);
  EXPECT_EQ(wide[Class::multiply_accumulate], 1u);
  EXPECT_EQ(wide[Class::if_then], 1u);
}

// The sum of the classes is the number of instructions that the clock of the guest saw, layer by layer.
TEST_P(Profile, ClassesAddUpToTheInstructionClock) {
  const Model model = every_operator();
  const std::filesystem::path emitted = folder_.path() / "c";
  write_c(model, emitted);
  const MemoryPlan plan = plan_memory(model.graph);
  const Harness harness{model, plan, emitted, folder_.path()};
  const auto inputs = random_inputs(model, 1);
  const std::vector<InstructionCounts> layers = profile_layers(harness, target_, inputs[0]);
  const CoreTrace trace = trace_on_core(harness, target_, {inputs[0]});
  ASSERT_EQ(layers.size(), model.graph.nodes().size());
  std::size_t event = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    std::int64_t clock = 0;
    for (std::size_t k = 0; k < model.graph.nodes()[i].outputs.size(); ++k)
      clock += trace.instructions[event++];
    EXPECT_NEAR(static_cast<double>(layers[i].total()), static_cast<double>(clock), 30)
        << model.graph.nodes()[i].name;
    EXPECT_LE(layers[i].taken, layers[i][Class::branch_conditional] + layers[i][Class::loop_end]);
  }
  EXPECT_EQ(layers, profile_layers(harness, target_, inputs[0]));  // the same in every run
}

TEST(ProfileErrors, AMissingPluginOrMarkIsNamed) {
  SKIP_WITHOUT_TOOLS();
  const TemporaryFolder folder;
  const Target target = load_target("mps2-an386");
  const BuildResult count = build_image(target, guest("count"), folder.path() / "count");
  EXPECT_THAT(error_of([&] { profile_on_emulator(target, count); }), HasSubstr("mm_profile_start"));
  ::setenv("MICROMIND_PLUGIN", "/nowhere/x.so", 1);
  EXPECT_THAT(error_of([] { plugin_file(); }),
              AllOf(HasSubstr("MICROMIND_PLUGIN"), HasSubstr("/nowhere/x.so")));
  const BuildResult built = build_image(target, guest("profile"), folder.path() / "build");
  write_atomic(folder.path() / "broken.so", "no library");
  ::setenv("MICROMIND_PLUGIN", (folder.path() / "broken.so").c_str(), 1);
  EXPECT_THAT(error_of([&] { profile_on_emulator(target, built); }),
              AllOf(HasSubstr("QEMU stopped"), HasSubstr("broken.so")));
  ::unsetenv("MICROMIND_PLUGIN");
  EXPECT_NE(plugin_file(), "");
}

}  // namespace
}  // namespace micromind
