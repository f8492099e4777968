/** Asks the viewer's own modules: a question of JSON on the standard input, its answer on the output. */

const folder = process.argv[2];
const from = (name) => import(new URL(`geometry/${name}.js`, `file://${folder}/`));
const { readShape } = await from("shapes");
const { decodeMask, readCounts } = await from("run_lengths");
const { compare, intersectionOverUnion } = await from("matching");
const { colorTable, applyColorMap, classColor, COLOR_MAPS, readableOn } = await from("color_maps");
const { Viewport } = await from("viewport");
const { GridIndex } = await from("grid_index");
const { placed, timeTicks, valueTicks } = await from("chart_scales");

const QUESTIONS = {
  shapes: ({ data, width, height }) => data.map((one) => readShape(one, width, height)),
  mask: ({ counts, rows, columns, part, step }) => [...decodeMask(readCounts(counts), rows, columns, part, step)],
  readable: ({ grounds }) => grounds.map(readableOn),
  overlap: ({ one, other }) => intersectionOverUnion(one, other),
  compare: ({ left, right, rule }) => compare(left, right, rule),
  colors: () => COLOR_MAPS.map((name) => [name, [...colorTable(name)]]),
  heat: ({ pixels }) => [...applied(pixels)],
  classes: ({ names }) => names.map(classColor),
  viewport: ({ steps }) => {
    const viewport = new Viewport(400, 300);
    for (const [name, ...values] of steps) viewport[name](...values);
    return { ...viewport, seen: viewport.seen() };
  },
  valueTicks: ({ sets }) => sets.map((values) => valueTicks(values)),
  timeTicks: ({ spans }) => spans.map(([start, end]) => timeTicks(start, end)),
  placed: ({ values }) => values.map((given) => placed(...given)),
  under: ({ boxes, x, y }) => new GridIndex(boxes, 400, 300).at(x, y),
};

function applied(pixels) {
  const data = new Uint8ClampedArray(pixels);
  applyColorMap(data, colorTable("grey"), true);
  return data;
}

let text = "";
for await (const chunk of process.stdin) text += chunk;
const { question, ...given } = JSON.parse(text);
process.stdout.write(JSON.stringify(QUESTIONS[question](given)));
