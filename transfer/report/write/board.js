// Choices above the table hide the rows, and the benchmarks without rows, that they leave out.
{
  const form = document.querySelector(".filters");
  const choice = (name) => form.elements[name].value;
  const filter = () => {
    let shown = 0;
    const { length: all } = document.querySelectorAll("tbody tr.measured");
    for (const body of document.querySelectorAll("tbody[data-benchmark]")) {
      const here = ["", body.dataset.benchmark].includes(choice("benchmark"));
      let left = 0;
      for (const row of body.querySelectorAll("tr.measured")) {
        row.hidden = !here || ["arch", "standing", "version"].some((name) => !["", row.dataset[name]].includes(choice(name)));
        left += !row.hidden;
      }
      body.hidden = left === 0;
      shown += left;
    }
    form.querySelector("output").value = `${shown} of ${all} rows`;
  };
  form.hidden = false;
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
}
