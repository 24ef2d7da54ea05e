const at = id => document.getElementById(id);
const made = (tag, text, ...inside) => { const one = document.createElement(tag); if (text != null) one.textContent = text; one.append(...inside); return one; };

// A number of JavaScript holds no whole number beyond 2^53 exactly: such a one is a BigInt here, if the browser can write it.
const exact = text => /^-?\d+$/.test(text) && !Number.isSafeInteger(Number(text)) && JSON.rawJSON ? BigInt(text) : Number(text);
const parsed = text => JSON.parse(text, (name, value, seen) => typeof value === "number" && seen && seen.source ? exact(seen.source) : value);
const written = (value, indent) => JSON.stringify(value, (name, one) => typeof one === "bigint" ? JSON.rawJSON(String(one)) : one, indent);
const shownText = value => typeof value === "string" ? value : written(value, 1);

// A blank control says nothing: the field is left out, or null if it has to be there and may be null.
function settled(field) {
  const blank = !field.required || field.nullable;
  return { ...field, blank, ...(blank && field.kind === "boolean" ? { kind: "choice", choices: [true, false] } : {}) };
}

function control(field, id) {
  let one;
  if (field.kind === "choice") {
    one = made("select", null, ...field.choices.map((choice, place) => { const found = made("option", shownText(choice)); found.value = place; return found; }));
    if (field.blank) { one.prepend(made("option", "")); one.selectedIndex = 0; }
  } else if (field.kind === "boolean") { one = made("input"); one.type = "checkbox"; }
  else if (field.kind === "number") { one = made("input"); one.type = "number"; one.step = "any"; }
  else if (field.kind === "date") { one = made("input"); one.type = "date"; }
  else { one = made("textarea"); one.rows = field.kind === "json" ? 4 : 3; }
  one.id = id;
  if (!field.blank && field.kind !== "boolean") one.required = true;
  const label = made("label", field.name + " ", made("small", [field.description, field.kind === "json" ? "JSON" : "", field.blank ? "may be left empty" : ""].filter(Boolean).join(", ")));
  label.htmlFor = id;
  return made("div", null, label, one);
}

function read(fields, prefix) {
  const found = {};
  fields.forEach((field, place) => {
    const one = at(prefix + place);
    if (field.kind === "boolean") found[field.name] = one.checked;
    else if (one.value === "" && field.blank) { if (field.required) found[field.name] = null; }
    else if (field.kind === "choice") found[field.name] = field.choices[Number(one.value)];
    else if (field.kind === "number") found[field.name] = exact(one.value);
    else if (field.kind === "json") { try { found[field.name] = parsed(one.value); } catch (error) { throw new Error(field.name + " is not JSON: " + error.message); } }
    else found[field.name] = one.value;
  });
  return found;
}

// A right answer begins as what was answered, so that only what is wrong has to be changed.
function fill(fields, prefix, values) {
  fields.forEach((field, place) => {
    const one = at(prefix + place), value = values[field.name];
    if (!field.required || value == null) one.value = "";
    else if (field.kind === "boolean") one.checked = value;
    else if (field.kind === "choice") one.value = field.choices.indexOf(value);
    else one.value = field.kind === "text" || field.kind === "date" ? value : written(value);
  });
}
