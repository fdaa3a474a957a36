// A map of levels from black over violet and orange to pale yellow: magma of matplotlib, at nine of its points.

const POINTS = [
  [0, 0, 4], [29, 17, 71], [81, 18, 124], [130, 37, 129], [182, 54, 121], [230, 81, 98], [252, 137, 97],
  [254, 194, 135], [252, 253, 191],
];

export const LEVELS = Array.from({ length: 256 }, (_, i) => {
  const at = (i / 255) * (POINTS.length - 1);
  const below = Math.min(Math.floor(at), POINTS.length - 2);
  return POINTS[below].map((value, c) => Math.round(value + (at - below) * (POINTS[below + 1][c] - value)));
});
